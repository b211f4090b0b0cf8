package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metricservice "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traceservice "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/cmd/internal/telemetry"
	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// collector is an OpenTelemetry collector that keeps what it is sent.
type collector struct {
	traceservice.UnimplementedTraceServiceServer
	metricservice.UnimplementedMetricsServiceServer
	endpoint string

	mu      sync.Mutex
	spans   []arrived
	metrics map[string]map[string]bool // names by instance
}

// arrived is a span with the instance that made it.
type arrived struct {
	*tracev1.Span
	instance string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{endpoint: "http://" + l.Addr().String(), metrics: map[string]map[string]bool{}}
	s := grpc.NewServer()
	traceservice.RegisterTraceServiceServer(s, c)
	metricservice.RegisterMetricsServiceServer(s, metrics{c})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return c
}

func instance(r *resourcev1.Resource) string {
	for _, a := range r.GetAttributes() {
		if a.Key == "service.instance.id" {
			return a.Value.GetStringValue()
		}
	}
	return "?"
}

// Export takes traces.
func (c *collector) Export(_ context.Context, req *traceservice.ExportTraceServiceRequest) (*traceservice.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.ResourceSpans {
		for _, s := range r.ScopeSpans {
			for _, x := range s.Spans {
				c.spans = append(c.spans, arrived{x, instance(r.Resource)})
			}
		}
	}
	return &traceservice.ExportTraceServiceResponse{}, nil
}

// metrics is the collector as it takes metrics.
type metrics struct{ *collector }

// Export takes metrics.
func (m metrics) Export(_ context.Context, req *metricservice.ExportMetricsServiceRequest) (*metricservice.ExportMetricsServiceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range req.ResourceMetrics {
		of := instance(r.Resource)
		if m.collector.metrics[of] == nil {
			m.collector.metrics[of] = map[string]bool{}
		}
		for _, s := range r.ScopeMetrics {
			for _, x := range s.Metrics {
				m.collector.metrics[of][x.Name] = true
			}
		}
	}
	return &metricservice.ExportMetricsServiceResponse{}, nil
}

// trace draws the trace of a root span: a line each, the children below their parent, in the order of their beginnings. It is
// empty while there is none.
func (c *collector) trace(root string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.spans, func(s arrived) bool { return s.Name == root })
	if at < 0 {
		return ""
	}
	var b strings.Builder
	var draw func(s arrived, depth int)
	draw = func(s arrived, depth int) {
		fmt.Fprintf(&b, "%s%s %s\n", strings.Repeat("  ", depth), s.instance, s.Name)
		var below []arrived
		for _, x := range c.spans {
			if bytes.Equal(x.ParentSpanId, s.SpanId) && bytes.Equal(x.TraceId, s.TraceId) {
				below = append(below, x)
			}
		}
		slices.SortFunc(below, func(a, b arrived) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
		for _, x := range below {
			draw(x, depth+1)
		}
	}
	draw(c.spans[at], 0)
	for _, s := range c.spans {
		if bytes.Equal(s.TraceId, c.spans[at].TraceId) && !bytes.Equal(s.SpanId, c.spans[at].SpanId) && len(s.ParentSpanId) == 0 {
			fmt.Fprintf(&b, "another root: %s %s\n", s.instance, s.Name)
		}
	}
	return b.String()
}

// missing are the names that an instance has not sent.
func (c *collector) missing(instance string, names []string) (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range names {
		if !c.metrics[instance][n] {
			out = append(out, n)
		}
	}
	return out
}

// eventually waits until there is nothing wrong.
func eventually(t *testing.T, wrong func() string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(scriptPatience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = wrong(); last == "" {
			return
		}
	}
	t.Fatalf("after %v: %s", scriptPatience, last)
}

// A placement that is asked for at a follower is one trace in the collector, from the client to the leader's state, by
// processes as users run them; and the metrics of each arrive there by their names.
func TestTelemetry_PlaceOnAFollower_IsOneTrace(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
	data := t.TempDir()
	dev := filepath.Join(data, "berth", "dev")
	t.Cleanup(func() { _, _ = localcluster.Stop(dev) })
	start := exec.Command(binary, "dev", "--detach", "--hosts", "1", "--port", "0", "--otlp-endpoint", c.endpoint)
	start.Env = append(os.Environ(), "XDG_DATA_HOME="+data)
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	state, err := localcluster.Load(dev)
	if err != nil {
		t.Fatal(err)
	}
	leader, follower := state.Servers[0], state.Servers[1]
	for _, s := range state.Servers {
		if s.Role == "leader" {
			leader = s
		} else {
			follower = s
		}
	}

	own, err := telemetry.Start(telemetry.Config{Endpoint: c.endpoint, Service: "shop", Instance: "client", Say: func(text string) { t.Error(text) }})
	if err != nil {
		t.Fatal(err)
	}
	client, err := lookupclient.Open(lookupclient.Config{Servers: []string{follower.GRPC}, TracerProvider: own.TracerProvider()})
	if err != nil {
		t.Fatal(err)
	}
	if _, created, err := client.Place(t.Context(), placement.Identity{Kind: "cart", Key: "42"}); err != nil || !created {
		t.Fatal(created, err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	own.Close() // sends what is left

	want := strings.NewReplacer("FOLLOWER", follower.Name, "LEADER", leader.Name, "CALL", "berth.v1.Placements/Place").Replace(`client berth.Place
  client CALL
    FOLLOWER CALL
      FOLLOWER forward
        FOLLOWER CALL
          LEADER CALL
            LEADER commit
              LEADER queue
              LEADER replicate
              LEADER apply
            LEADER settle
`)
	eventually(t, func() string {
		if got := c.trace("berth.Place"); got != want {
			return fmt.Sprintf("the trace is\n%swant\n%s", got, want)
		}
		return ""
	})
	eventually(t, func() string {
		if got := c.trace("activate"); got != "host-1 activate\n" {
			return "of the member there is\n" + got
		}
		return ""
	})
	names := metricNames(t, follower.HTTP)
	eventually(t, func() string {
		if missing := c.missing(follower.Name, names); len(missing) > 0 {
			return fmt.Sprintf("%s has not sent %q", follower.Name, missing)
		}
		if missing := c.missing("host-1", []string{"berth_member_activations", "go_goroutines"}); len(missing) > 0 {
			return fmt.Sprintf("host-1 has not sent %q", missing)
		}
		return ""
	})
	stop := exec.Command(binary, "dev", "stop")
	stop.Env = start.Env
	if out, err := stop.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// metricNames are the names that a server has on its HTTP port.
func metricNames(t *testing.T, address string) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(fetch(t, "http://"+address+"/metrics"), -1) {
		names = append(names, m[1])
	}
	if len(names) < 20 || !slices.Contains(names, "berth_published_index") {
		t.Fatalf("the server has the metrics %q", names)
	}
	return names
}

// A server whose collector takes connections and never answers serves as any other, says it once, and ends in time.
func TestTelemetry_CollectorNeverAnswers_ServerServes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	address := freeport.Address(t)
	var log logged
	server := exec.Command(binary, "serve", "--name", "s1", "--data-dir", t.TempDir(), "--raft-addr", "127.0.0.1:0", "--grpc-addr", address, "--http-addr", "127.0.0.1:0")
	server.Env = append(os.Environ(), "BERTH_OTLP_ENDPOINT=http://"+l.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_METRIC_EXPORT_INTERVAL=100", "OTEL_EXPORTER_OTLP_TIMEOUT=500")
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() { _ = server.Process.Kill() }()

	client, err := lookupclient.Open(lookupclient.Config{Servers: []string{address}, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	var ids []placement.Identity
	for i := range 1000 {
		ids = append(ids, placement.Identity{Kind: "cart", Key: fmt.Sprint(i)})
	}
	if _, err := client.PlaceAll(t.Context(), ids); err != nil { // refused one by one: there is no member
		t.Fatal(err)
	}
	begin := time.Now()
	for _, id := range ids { // each call leaves a span; the queue takes two thousand
		for range 5 {
			if _, err := client.LookupAt(t.Context(), id, lookupclient.Read{Level: lookupclient.Stale}); err == nil {
				t.Fatal("somebody owns ", id)
			}
		}
	}
	if took := time.Since(begin); took > scriptPatience {
		t.Errorf("5,000 look-ups took %v", took)
	}
	const trouble = "the collector does not take traces"
	eventually(t, func() string {
		if !strings.Contains(log.String(), trouble) {
			return "it does not say that its collector does not answer:\n" + log.String()
		}
		return ""
	})
	time.Sleep(2 * time.Second) // several more exports fail meanwhile
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v:\n%s", err, log.String())
		}
	case <-time.After(scriptPatience):
		t.Fatalf("it does not end:\n%s", log.String())
	}
	if n := strings.Count(log.String(), trouble); n != 1 {
		t.Errorf("it said %d times that its collector does not answer:\n%s", n, log.String())
	}
}

// logged is what a process writes, to be read while it does.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
