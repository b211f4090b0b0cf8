package workload

import (
	"context"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// ReadAll looks all identities of a kind up at one server, and records that as final reads. An
// answer that does not come in time is an error: nobody knows what it would have been.
func ReadAll(ctx context.Context, rec *history.Recorder, api apiv1.PlacementsClient, server, kind string, keys []string) error {
	for len(keys) > 0 {
		n := min(len(keys), lookupclient.BatchMax)
		if err := readBatch(ctx, rec, api, server, kind, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// readTimeout bounds one call.
const readTimeout = 5 * time.Second

// readBatch reads some identities as of one moment.
func readBatch(ctx context.Context, rec *history.Recorder, api apiv1.PlacementsClient, server, kind string, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	req := &apiv1.BatchLookupRequest{Level: apiv1.Level_LEASED}
	var ops []uint64
	for _, key := range keys {
		req.Identities = append(req.Identities, &apiv1.Identity{Kind: kind, Key: key})
		ops = append(ops, rec.Invoke(history.Call{Client: "final-" + server, F: history.Lookup, Identity: kind + "/" + key, Server: server, Level: history.Leased, Final: true}))
	}
	resp, err := api.BatchLookup(ctx, req)
	for i, op := range ops {
		var answer history.Answer
		e := err
		if e == nil {
			answer, e = resultOf(op, resp.Results[i:min(i+1, len(resp.Results))])
		}
		if e != nil {
			rec.Fail(history.Answer{Op: op, Message: shorten(e.Error())})
			continue
		}
		answer.Read = readOf(resp.Read)
		rec.OK(answer)
	}
	return err
}
