package workload

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// Block puts a member, by its name, or an identity, kind/key, on the block list, or takes it off, and records that: one request, which the
// client asks for by itself as often as it takes. The error is that of the client, which says whether it may have happened.
func Block(ctx context.Context, rec Journal, client string, conn grpc.ClientConnInterface, subject string, on bool) error {
	member := subject
	kind, key, identity := strings.Cut(subject, "/")
	if identity {
		member = ""
	} else {
		kind = ""
	}
	f := history.Block
	if !on {
		f = history.Unblock
	}
	op := rec.Invoke(history.Call{Client: client, F: f, Subject: subject})
	var read *apiv1.Read
	var err error
	if api := apiv1.NewBlocksClient(conn); on {
		var resp *apiv1.BlockResponse
		resp, err = api.Block(ctx, &apiv1.BlockRequest{Member: member, Kind: kind, Key: key, By: client, Reason: "fault test"})
		read = resp.GetRead()
	} else {
		var resp *apiv1.UnblockResponse
		resp, err = api.Unblock(ctx, &apiv1.UnblockRequest{Member: member, Kind: kind, Key: key})
		read = resp.GetRead()
	}
	if err == nil {
		rec.Record(history.Event{OK: &history.Answer{Op: op, Read: readOf(read)}})
		return nil
	}
	if answer, unknown := answerOf(op, err); unknown {
		rec.Record(history.Event{Unknown: &answer})
	} else {
		rec.Record(history.Event{Fail: &answer})
	}
	return err
}
