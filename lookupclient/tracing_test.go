package lookupclient_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
)

// spansNamed are the spans of a name that have ended.
func spansNamed(r *tracetest.SpanRecorder, name string) (list []sdktrace.ReadOnlySpan) {
	for _, s := range r.Ended() {
		if s.Name() == name {
			list = append(list, s)
		}
	}
	return list
}

func attributeOf(s sdktrace.ReadOnlySpan, key string) string {
	for _, a := range s.Attributes() {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// recordingClient is a client that is traced.
func (w *world) recordingClient(host string, change func(*lookupclient.Config)) (*lookupclient.Client, *tracetest.SpanRecorder) {
	w.t.Helper()
	r := tracetest.NewSpanRecorder()
	return w.clientWith(host, func(c *lookupclient.Config) {
		c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))
		if change != nil {
			change(c)
		}
	}), r
}

// Each attempt of a call has a span below that of the call, which ends with what came of it.
func TestClient_Attempts_AreTraced(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("a", nil)
		c, r := w.recordingClient("client", nil)
		l := w.c.Leader(nil)
		l.Kill()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, _, err := c.Place(ctx, cart(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		calls := spansNamed(r, "berth.Place")
		if len(calls) != 1 || calls[0].Status().Code != codes.Unset || attributeOf(calls[0], string(apiv1.SpanIdentity)) != cart(1).String() || attributeOf(calls[0], string(apiv1.SpanMember)) != "a" {
			t.Fatalf("calls: %v", calls)
		}
		attempts := spansNamed(r, "berth.v1.Placements/Place")
		for _, s := range attempts {
			if s.Parent().SpanID() != calls[0].SpanContext().SpanID() || s.SpanKind() != oteltrace.SpanKindClient {
				t.Errorf("an attempt: %v below %v", s.SpanKind(), s.Parent())
			}
		}
		if len(attempts) == 0 {
			t.Error("the attempts have no spans")
		}
		for _, s := range w.c.Servers {
			if s != l {
				s.Kill()
			}
		}
		r.Reset()
		ctx, cancel = context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if _, err := c.Lookup(ctx, cart(1)); err == nil {
			t.Fatal("nobody is there, and it was answered")
		}
		calls, attempts = spansNamed(r, "berth.Lookup"), spansNamed(r, "berth.v1.Placements/Lookup")
		if len(calls) != 1 || calls[0].Status().Code != codes.Error || attributeOf(calls[0], string(apiv1.SpanReason)) != string(apiv1.ReasonUnreachable) || len(attempts) < 2 {
			t.Errorf("calls: %v, %d attempts", calls, len(attempts))
		}
	})
}

// What the cache answers is no call.
func TestCache_Hit_IsNotTraced(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("a", nil)
		c, r := w.recordingClient("client", func(c *lookupclient.Config) { c.Cache = 100 })
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, _, err := c.Place(ctx, cart(1)); err != nil {
			t.Fatal(err)
		}
		for cached := false; !cached; time.Sleep(100 * time.Millisecond) {
			r.Reset()
			p, err := c.Lookup(ctx, cart(1))
			if err != nil {
				t.Fatal(err)
			}
			cached = p.Cached
		}
		if n := len(r.Started()); n != 0 {
			t.Errorf("%d spans were begun", n)
		}
	})
}

// An activation has a span until the cluster has agreed to it, within which Activate runs, and which says what it failed with.
func TestMember_Activations_AreTraced(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		c, r := w.recordingClient("a", nil)
		var within oteltrace.SpanContext
		m, err := c.Join(t.Context(), lookupclient.MemberConfig{Name: "a", Address: "a:9000", Now: memberNow, Kinds: map[string]lookupclient.Kind{
			"cart": {Activate: func(ctx context.Context, _ *lookupclient.Activation) error {
				within = oteltrace.SpanContextFromContext(ctx)
				return nil
			}, Run: func(a *lookupclient.Activation) {
				if oteltrace.SpanContextFromContext(a.Context()).IsValid() {
					t.Error("the activation lives within the span of its beginning")
				}
				<-a.Context().Done()
			}},
			"room": {Activate: func(context.Context, *lookupclient.Activation) error { return errors.New("no room") }},
			"slow": {Activate: func(context.Context, *lookupclient.Activation) error {
				time.Sleep(time.Second)
				return nil
			}},
			"late": {Activate: func(context.Context, *lookupclient.Activation) error {
				time.Sleep(raftnode.ActivationTimeoutDefault + time.Second)
				return nil
			}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, m)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		other := w.client("client")
		p, _, err := other.Place(ctx, cart(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Place(ctx, placement.Identity{Kind: "room", Key: "1"}); !errors.Is(err, lookupclient.ErrNoMember) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		list := spansNamed(r, "activate")
		if len(list) < 2 || len(list) != len(r.Ended()) || len(r.Ended()) != len(r.Started()) {
			t.Fatalf("%d activations, %d spans begun, %d ended", len(list), len(r.Started()), len(r.Ended()))
		}
		if s := list[0]; s.SpanContext().SpanID() != within.SpanID() || s.Status().Code != codes.Unset || attributeOf(s, string(apiv1.SpanIdentity)) != cart(1).String() ||
			attributeOf(s, string(apiv1.SpanEpoch)) != attributeValue(p.Epoch) || s.Parent().IsValid() {
			t.Errorf("the cart: %v, Activate ran within %v", s, within)
		}
		for _, s := range list[1:] {
			if s.Status().Code != codes.Error || s.Status().Description != "no room" || attributeOf(s, string(apiv1.SpanIdentity)) != "room/1" {
				t.Errorf("the room: %v", s)
			}
		}
		r.Reset()
		if _, _, err := other.Place(ctx, placement.Identity{Kind: "late", Key: "1"}); !errors.Is(err, lookupclient.ErrNoMember) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		list = spansNamed(r, "activate")
		if len(list) == 0 || len(list) != len(r.Started()) {
			t.Errorf("its time is over: %d of %d ended", len(list), len(r.Started()))
		}
		for _, s := range list {
			if s.Status().Description != lookupclient.ErrNotOwner.Error() {
				t.Errorf("its time is over: %v", s.Status())
			}
		}
		r.Reset()
		ctx, cancel = context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if _, _, err := other.Place(ctx, placement.Identity{Kind: "slow", Key: "1"}); !errors.Is(err, lookupclient.ErrUnsettled) {
			t.Fatal(err)
		}
		w.isolate("a", true) // so that nobody hears its confirmation
		time.Sleep(10 * time.Second)
		if list := spansNamed(r, "activate"); len(list) != 1 || list[0].Status().Description != lookupclient.ErrLeaseLost.Error() {
			t.Errorf("its lease ran out meanwhile: %v", list)
		}
		w.isolate("a", false)
	})
}

func attributeValue(e placement.Epoch) string {
	return apiv1.EpochAttribute(uint64(e)).Value.AsString()
}
