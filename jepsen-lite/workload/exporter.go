package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// exportEvery is how long an exporter rests, at the mean, and exportTimeout how long a save may take.
	exportEvery   = 700 * time.Millisecond
	exportTimeout = 4 * time.Second
	// exportBytesMax bounds a saved state, which has hundreds of bytes for each of a few hundred identities.
	exportBytesMax = 64 << 20
)

// exporter saves the whole state of one server after the other, as it is.
type exporter struct {
	*Clients
	servers []saver
	rng     *rand.Rand
}

// saver is a server that is asked for its state.
type saver struct {
	name string
	conn grpc.ClientConnInterface
}

// run saves until ctx ends. The error is that of a saved state that cannot be read.
func (e *exporter) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := e.export(context.WithoutCancel(ctx), e.servers[e.rng.IntN(len(e.servers))]); err != nil {
			return err
		}
		pause(ctx, time.Duration(e.rng.ExpFloat64()*float64(exportEvery)))
	}
	return nil
}

func (e *exporter) export(ctx context.Context, s saver) error {
	e.asked.Add(1)
	v, file, err := Export(ctx, e.config.Recorder, s.name, s.conn)
	if v == nil {
		return err
	}
	e.done.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if v.Index >= e.saved.index {
		e.saved.index, e.saved.file = v.Index, file
	}
	return nil
}

// Journal is where operations are recorded: a history.Recorder, or what takes its place.
type Journal interface {
	Invoke(history.Call) (op uint64)
	Record(history.Event)
}

// Export saves the whole state of the server at the other end, reads it, and records that and its digest, computed anew. Without an
// answer the view is nil. The error is that of a saved state that cannot be read.
func Export(ctx context.Context, rec Journal, server string, conn grpc.ClientConnInterface) (*snapshot.View, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	op := rec.Invoke(history.Call{Client: "exporter-" + server, F: history.Export, Server: server})
	file, err := Save(ctx, conn)
	if err != nil {
		answer, _ := answerOf(op, err) // it changes nothing
		rec.Record(history.Event{Fail: &answer})
		return nil, nil, nil
	}
	v, err := snapshot.Decode(bytes.NewReader(file))
	if err != nil {
		rec.Record(history.Event{Fail: &history.Answer{Op: op, Message: shorten(err.Error())}})
		return nil, nil, fmt.Errorf("the state that %s saved cannot be read: %w", server, err)
	}
	rec.Record(history.Event{OK: &history.Answer{
		Op: op, Hash: contents(v), Digest: v.Digest().String(), Read: &history.Proof{Server: server, Term: v.Term, Index: v.Index},
	}})
	// What servers say of themselves is carried along; this one is of what the file has.
	rec.Record(history.Event{Digest: &history.Digest{Server: server, Index: v.Index, Digest: v.RecomputeDigest().String(), Recomputed: true}})
	return v, file, nil
}

// Save returns the whole state of the server at the other end, as a file has it.
func Save(ctx context.Context, conn grpc.ClientConnInterface) ([]byte, error) {
	stream, err := apiv1.NewSnapshotsClient(conn).Save(ctx, &apiv1.SaveRequest{})
	if err != nil {
		return nil, err
	}
	var file []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return file, nil
		}
		if err != nil {
			return nil, err
		}
		if file = append(file, part.Data...); len(file) > exportBytesMax {
			return nil, fmt.Errorf("a saved state has more than %d bytes", exportBytesMax)
		}
	}
}

// Saved is the newest state that was saved so far; nil before the first.
func (w *Clients) Saved() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.saved.file
}
