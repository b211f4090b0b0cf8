package raftnode_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// recording is where the spans of several processes end up, each with the name of its own.
type recording struct{ *tracetest.SpanRecorder }

func newRecording() recording { return recording{tracetest.NewSpanRecorder()} }

// provider is that of the process of a name.
func (r recording) provider(name string) trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.SpanRecorder), sdktrace.WithResource(resource.NewSchemaless(attribute.String("process", name))))
}

// trace draws the trace of a root span: a line each, the children below their parent, in the order of their beginnings.
func (r recording) trace(t *testing.T, root string) string {
	t.Helper()
	all := r.Ended()
	at := slices.IndexFunc(all, func(s sdktrace.ReadOnlySpan) bool { return s.Name() == root })
	if at < 0 {
		t.Fatalf("no span is called %s", root)
	}
	var b strings.Builder
	drawn := 0
	var draw func(s sdktrace.ReadOnlySpan, depth int)
	draw = func(s sdktrace.ReadOnlySpan, depth int) {
		drawn++
		process, _ := s.Resource().Set().Value("process")
		fmt.Fprintf(&b, "%s%s %s %s\n", strings.Repeat("  ", depth), process.AsString(), s.SpanKind(), s.Name())
		var below []sdktrace.ReadOnlySpan
		for _, c := range all {
			if c.Parent().SpanID() == s.SpanContext().SpanID() {
				below = append(below, c)
			}
		}
		slices.SortStableFunc(below, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
		for _, c := range below {
			draw(c, depth+1)
		}
	}
	draw(all[at], 0)
	for _, s := range all {
		if s.SpanContext().TraceID() == all[at].SpanContext().TraceID() {
			drawn--
		}
	}
	if drawn != 0 {
		t.Errorf("%d spans of the trace have no parent in it", -drawn)
	}
	return b.String()
}

// of returns a process's span of a name.
func (r recording) of(t *testing.T, process, name string, kind trace.SpanKind) map[attribute.Key]string {
	t.Helper()
	for _, s := range slices.Backward(r.Ended()) {
		if p, _ := s.Resource().Set().Value("process"); p.AsString() != process || s.Name() != name || s.SpanKind() != kind {
			continue
		}
		values := map[attribute.Key]string{"status": s.Status().Code.String(), "parent": s.Parent().TraceID().String()}
		for _, a := range s.Attributes() {
			values[a.Key] = a.Value.String()
		}
		return values
	}
	t.Fatalf("%s has no span %s (%v)", process, name, kind)
	return nil
}

// client is a client that is traced, of one server.
func (r recording) client(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server) *lookupclient.Client {
	t.Helper()
	client, err := lookupclient.Open(lookupclient.Config{Servers: []string{s.Node.GRPCAddr()}, TracerProvider: r.provider("client"),
		Dial: func(ctx context.Context, a string) (net.Conn, error) { return c.Network.Host("client").Dial(ctx, a) }})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// traced runs f with a cluster that is traced.
func traced(t *testing.T, f func(*testing.T, *raftnodetest.Cluster, recording)) {
	r := newRecording()
	site(t, 3, func(c *raftnode.Config) { c.TracerProvider = r.provider(c.Name) }, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) { f(t, c, r) })
}

func TestTracing_PlaceOnAFollower_IsOneTrace(t *testing.T) {
	traced(t, func(t *testing.T, c *raftnodetest.Cluster, r recording) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		c.Network.Delay(f.Host, l.Host, time.Millisecond) // so that no two spans begin at one moment
		client := r.client(t, c, f)
		defer client.Close()
		p, created, err := client.Place(t.Context(), placement.Identity{Kind: "file", Key: "a"})
		if err != nil || !created {
			t.Fatal(created, err)
		}
		time.Sleep(time.Second) // a server's span ends behind its answer
		const call = "berth.v1.Placements/Place"
		want := strings.NewReplacer("FOLLOWER", f.Name, "LEADER", l.Name, "CALL", call).Replace(`client internal berth.Place
  client client CALL
    FOLLOWER server CALL
      FOLLOWER internal forward
        FOLLOWER client CALL
          LEADER server CALL
            LEADER internal commit
              LEADER internal queue
              LEADER internal replicate
              LEADER internal apply
            LEADER internal settle
`)
		if got := r.trace(t, "berth.Place"); got != want {
			t.Errorf("the trace is\n%swant\n%s", got, want)
		}
		for _, tt := range []struct {
			process, name string
			kind          trace.SpanKind
			want          map[attribute.Key]string
		}{
			{"client", "berth.Place", trace.SpanKindInternal, map[attribute.Key]string{apiv1.SpanIdentity: "file/a", apiv1.SpanMember: "m1", apiv1.SpanEpoch: fmt.Sprint(p.Epoch), apiv1.SpanServedBy: l.Name}},
			{f.Name, call, trace.SpanKindServer, map[attribute.Key]string{apiv1.SpanIdentity: "file/a", apiv1.SpanServedBy: l.Name, apiv1.SpanMember: "m1"}},
			{f.Name, "forward", trace.SpanKindInternal, map[attribute.Key]string{"berth.to": l.Name}},
			{l.Name, call, trace.SpanKindServer, map[attribute.Key]string{apiv1.SpanRole: "LEADER", apiv1.SpanLevel: "LEADER", apiv1.SpanIndex: fmt.Sprint(p.Index)}},
			{l.Name, "commit", trace.SpanKindInternal, map[attribute.Key]string{"berth.commands": "1", "berth.batches": "1", "berth.batch.commands": "1"}},
		} {
			got := r.of(t, tt.process, tt.name, tt.kind)
			for k, v := range tt.want {
				if got[k] != v {
					t.Errorf("%s of %s: %s is %q, want %q", tt.name, tt.process, k, got[k], v)
				}
			}
		}
		// The entry that carried the command lies before the state that answered.
		_, term := l.Node.Group().Leader()
		replicate := r.of(t, l.Name, "replicate", trace.SpanKindInternal)
		commit := r.of(t, l.Name, "commit", trace.SpanKindInternal)
		if i := replicate[apiv1.SpanIndex]; i == "" || i != commit[apiv1.SpanIndex] || i != r.of(t, l.Name, "apply", trace.SpanKindInternal)[apiv1.SpanIndex] || replicate[apiv1.SpanTerm] != fmt.Sprint(term) || replicate["berth.batch.bytes"] == "" {
			t.Errorf("replicate: %v, commit: %v", replicate, commit)
		}
	})
}

// A look-up says who answered it, by what right, and why not under a lease.
func TestTracing_Lookup_SaysHowItWasAnswered(t *testing.T) {
	traced(t, func(t *testing.T, c *raftnodetest.Cluster, r recording) {
		f := c.Others(c.Leader(nil))[0]
		client := r.client(t, c, f)
		defer client.Close()
		id := placement.Identity{Kind: "file", Key: "a"}
		if _, _, err := client.Place(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		const call = "berth.v1.Placements/Lookup"
		look := func(id placement.Identity, level lookupclient.Level) map[attribute.Key]string {
			r.Reset()
			_, _ = client.LookupAt(t.Context(), id, lookupclient.Read{Level: level})
			time.Sleep(time.Second)
			return r.of(t, f.Name, call, trace.SpanKindServer)
		}
		if got := look(id, lookupclient.Leased); got["berth.lease_miss"] != "no_lease" || got[apiv1.SpanLevel] != "LEADER" { // nobody has read so far
			t.Errorf("the first: %v", got)
		}
		want := strings.ReplaceAll("client internal berth.Lookup\n  client client CALL\n    "+f.Name+" server CALL\n", "CALL", call)
		if got := look(id, lookupclient.Leased); got["berth.lease_miss"] != "" || got[apiv1.SpanLevel] != "LEASED" || got[apiv1.SpanServedBy] != f.Name || r.trace(t, "berth.Lookup") != want {
			t.Errorf("with a lease: %v\n%s", got, r.trace(t, "berth.Lookup"))
		}
		want += "      " + f.Name + " internal read index\n"
		if got := look(id, lookupclient.Leader); got[apiv1.SpanLevel] != "LEADER" || r.trace(t, "berth.Lookup") != want {
			t.Errorf("by the leader: %v\n%s", got, r.trace(t, "berth.Lookup"))
		}
		id.Key = "b"
		if got := look(id, lookupclient.Leased); got["berth.lease_miss"] != "not_settled" || got[apiv1.SpanReason] != "NOT_PLACED" {
			t.Errorf("what is not placed: %v", got)
		}
		if got := r.of(t, "client", "berth.Lookup", trace.SpanKindInternal); got[apiv1.SpanReason] != "NOT_PLACED" || got["status"] != "Error" {
			t.Errorf("the client says %v", got)
		}
	})
}

// What comes by HTTP is of the trace that its header names.
func TestTracing_HTTP_GoesOnWithTheTrace(t *testing.T) {
	traced(t, func(t *testing.T, c *raftnodetest.Cluster, r recording) {
		const id = "0af7651916cd43dd8448eb211c80319c"
		w := memoryWeb(t, c, c.Leader(nil))
		w.call("POST", "/v1/placements/file/a:place", "", "traceparent", "00-"+id+"-b7ad6b7169203331-01").ok()
		w.call("POST", "/v1/placements/file/b:place", "", "traceparent", "garbage").ok()
		time.Sleep(time.Second)
		of := map[string]string{}
		for _, s := range r.Ended() {
			for _, a := range s.Attributes() {
				if a.Key == apiv1.SpanIdentity {
					of[a.Value.AsString()] = s.SpanContext().TraceID().String()
				}
			}
		}
		if of["file/a"] != id || of["file/b"] == id || of["file/b"] == "" {
			t.Errorf("the traces are %v", of)
		}
	})
}

// Nothing but calls of the API is traced: no streams, and nothing that servers ask each other by themselves.
func TestTracing_Idle_HasNoSpans(t *testing.T) {
	traced(t, func(t *testing.T, c *raftnodetest.Cluster, r recording) {
		client := r.client(t, c, c.Leader(nil))
		defer client.Close()
		if _, _, err := client.Place(t.Context(), placement.Identity{Kind: "file", Key: "a"}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Lookup(t.Context(), placement.Identity{Kind: "file", Key: "a"}); err != nil { // it wants a lease from now on
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.Sleep(time.Second)
		r.Reset()
		for _, err := range client.Watch(ctx, lookupclient.WatchConfig{}) {
			if err != nil {
				break
			}
		}
		for _, s := range r.Ended() {
			t.Errorf("%s (%v)", s.Name(), s.SpanKind())
		}
		if n := len(r.Started()); n > 0 {
			t.Errorf("%d spans were begun", n)
		}
	})
}

// Without a provider there are no spans, also where a program has a global one.
func TestTracing_NoProvider_NothingIsTraced(t *testing.T) {
	before := otel.GetTracerProvider()
	defer otel.SetTracerProvider(before)
	r := newRecording()
	otel.SetTracerProvider(r.provider("anybody"))
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		within, span := r.provider("caller").Tracer("test").Start(t.Context(), "the caller's own")
		for range 3 { // on each server
			if _, _, err := client.Place(within, placement.Identity{Kind: "file", Key: "a"}); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Lookup(within, placement.Identity{Kind: "file", Key: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		span.End()
		time.Sleep(time.Second)
		if n := len(r.Started()); n != 1 {
			t.Errorf("%d spans were begun", n)
		}
	})
}

// A call whose trace is not sampled has no spans, and neither have those behind it.
func TestTracing_NotSampled_HasNoSpans(t *testing.T) {
	traced(t, func(t *testing.T, c *raftnodetest.Cluster, r recording) {
		l := c.Leader(nil)
		never := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.SpanRecorder), sdktrace.WithSampler(sdktrace.NeverSample()))
		client, err := lookupclient.Open(lookupclient.Config{Servers: []string{c.Others(l)[0].Node.GRPCAddr()}, TracerProvider: never,
			Dial: func(ctx context.Context, a string) (net.Conn, error) { return c.Network.Host("client").Dial(ctx, a) }})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, _, err := client.Place(t.Context(), placement.Identity{Kind: "file", Key: "a"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := len(r.Started()); n > 0 {
			t.Errorf("%d spans were begun", n)
		}
	})
}
