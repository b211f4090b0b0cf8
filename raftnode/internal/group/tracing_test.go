package group_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// recorded runs f with servers that trace.
func recorded(t *testing.T, f func(*testing.T, *cluster, *tracetest.SpanRecorder, trace.Tracer)) {
	r := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r)).Tracer("test")
	bubble(t, 3, func(t *testing.T, c *cluster) { f(t, c, r, tracer) }, withConfig(func(c *group.Config) { c.Tracer = tracer }))
}

func named(r *tracetest.SpanRecorder, name string) (list []sdktrace.ReadOnlySpan) {
	for _, s := range r.Ended() {
		if s.Name() == name {
			list = append(list, s)
		}
	}
	return list
}

func value(s sdktrace.ReadOnlySpan, key attribute.Key) int64 {
	for _, a := range s.Attributes() {
		if a.Key == key {
			return a.Value.AsInt64()
		}
	}
	return -1
}

// The stages of a commit follow each other without a gap, from when it was asked for until it is published.
func TestTracing_Commit_HasItsStages(t *testing.T) {
	recorded(t, func(t *testing.T, c *cluster, r *tracetest.SpanRecorder, tracer trace.Tracer) {
		l := c.leader(nil)
		l.disk.Slow(20 * time.Millisecond)
		for range 2 { // keep both workers busy, so that the next one waits
			go func() { _, _ = l.propose(join("m")) }()
			time.Sleep(time.Millisecond)
		}
		begun := time.Now()
		within, span := tracer.Start(t.Context(), "call")
		before := l.group.View().Index
		_, err := l.group.Propose(within, encode(t, join("m2")))
		span.End()
		if err != nil {
			t.Fatal(err)
		}
		commits, end := named(r, "commit"), time.Now()
		if len(commits) != 1 || commits[0].Parent().SpanID() != span.SpanContext().SpanID() || !commits[0].StartTime().Equal(begun) || !commits[0].EndTime().Equal(end) || commits[0].Status().Code != codes.Unset {
			t.Fatalf("commits: %v", commits)
		}
		at := begun
		for _, name := range []string{"queue", "replicate", "apply"} {
			list := named(r, name)
			if len(list) != 1 || list[0].Parent().SpanID() != commits[0].SpanContext().SpanID() || !list[0].StartTime().Equal(at) || list[0].EndTime().Before(at) {
				t.Fatalf("%s: %v, want one that begins %v", name, list, at)
			}
			at = list[0].EndTime()
		}
		if queue, replicate := named(r, "queue")[0], named(r, "replicate")[0]; queue.EndTime().Sub(queue.StartTime()) < 10*time.Millisecond || replicate.EndTime().Sub(replicate.StartTime()) < 20*time.Millisecond {
			t.Errorf("it waited %v, and took %v to a majority", queue.EndTime().Sub(queue.StartTime()), replicate.EndTime().Sub(replicate.StartTime()))
		}
		if i := value(commits[0], "berth.index"); i <= int64(before) || i > int64(l.group.View().Index) || value(commits[0], "berth.term") != int64(l.group.Tenure().Term) {
			t.Errorf("index %d", i)
		}
	})
}

// A call that takes many batches has the spans of the first ones, and says how many there were.
func TestTracing_ManyBatches_SpansAreBounded(t *testing.T) {
	recorded(t, func(t *testing.T, c *cluster, r *tracetest.SpanRecorder, tracer trace.Tracer) {
		l := c.leader(nil)
		commands := make([][]byte, 60_000)
		for i := range commands {
			commands[i] = encode(t, place("1"))
		}
		within, span := tracer.Start(t.Context(), "call")
		before := l.group.Counters().Batches
		if _, err := l.group.ProposeAll(within, commands); err != nil {
			t.Fatal(err)
		}
		span.End()
		commit := named(r, "commit")[0]
		batches := value(commit, "berth.batches")
		if n := len(named(r, "replicate")); n != 16 || batches <= 16 || uint64(batches) > l.group.Counters().Batches-before || value(commit, "berth.commands") != int64(len(commands)) {
			t.Errorf("%d batches, of which %d have spans; attributes %v", batches, n, commit.Attributes())
		}
	})
}

// What is not carried out says so.
func TestTracing_CommitFails_SaysSo(t *testing.T) {
	recorded(t, func(t *testing.T, c *cluster, r *tracetest.SpanRecorder, tracer trace.Tracer) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		within, span := tracer.Start(t.Context(), "call")
		defer span.End()
		c.isolate(l, true)
		ctx, cancel := context.WithTimeout(within, 100*time.Millisecond)
		defer cancel()
		var unknown *group.UnknownError
		if _, err := l.group.Propose(ctx, encode(t, place("1"))); !errors.As(err, &unknown) {
			t.Fatal(err)
		}
		if list := named(r, "commit"); len(list) != 1 || list[0].Status().Code != codes.Error {
			t.Errorf("its time ends: %v", list)
		}
		r.Reset()
		if _, err := l.group.Propose(within, encode(t, place("2"))); !errors.As(err, &unknown) {
			t.Fatal(err)
		}
		commit, replicate := named(r, "commit"), named(r, "replicate")
		if len(commit) != 1 || len(replicate) != 1 || commit[0].Status().Code != codes.Error || replicate[0].Status().Code != codes.Error || len(named(r, "apply")) != 0 {
			t.Errorf("the leader is deposed: %v", r.Ended())
		}
		r.Reset()
		if _, err := l.group.Propose(within, encode(t, place("3"))); !errors.Is(err, group.ErrNotLeader) {
			t.Fatal(err)
		}
		if list := named(r, "commit"); len(list) != 1 || list[0].Status().Code != codes.Error || len(r.Ended()) != 1 {
			t.Errorf("it does not lead: %v", r.Ended())
		}
		c.isolate(l, false)
	})
}

// Nobody traces what is not asked for within a span.
func TestTracing_NoSpan_NothingIsTraced(t *testing.T) {
	recorded(t, func(t *testing.T, c *cluster, r *tracetest.SpanRecorder, _ trace.Tracer) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		if _, err := l.group.Pulse(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if n := len(r.Started()); n > 0 {
			t.Errorf("%d spans were begun", n)
		}
	})
}
