package telemetry

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// said collects what people are told.
type said struct {
	mu   sync.Mutex
	list []string
}

func (s *said) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, text)
}

func (s *said) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.list...)
}

// silent is a collector that takes every connection and never says anything.
func silent(t *testing.T) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	return "http://" + l.Addr().String()
}

// environment has no variables of OpenTelemetry but the given ones.
func environment(t *testing.T, pairs ...string) {
	t.Helper()
	for _, name := range []string{"SDK_DISABLED", "TRACES_EXPORTER", "METRICS_EXPORTER", "EXPORTER_OTLP_ENDPOINT", "EXPORTER_OTLP_TRACES_ENDPOINT",
		"EXPORTER_OTLP_METRICS_ENDPOINT", "EXPORTER_OTLP_PROTOCOL", "EXPORTER_OTLP_TRACES_PROTOCOL", "EXPORTER_OTLP_METRICS_PROTOCOL", "TRACES_SAMPLER"} {
		t.Setenv("OTEL_"+name, "")
	}
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv("OTEL_"+pairs[i], pairs[i+1])
	}
}

func TestConfig_Wanted(t *testing.T) {
	const at = "http://127.0.0.1:1"
	for _, tt := range []struct {
		name     string
		endpoint string
		env      []string
		want     wanted
		fault    string // part of the error
	}{
		{"nothing", "", nil, wanted{}, ""},
		{"the flag", at, nil, wanted{true, true}, ""},
		{"the environment", "", []string{"EXPORTER_OTLP_ENDPOINT", at}, wanted{true, true}, ""},
		{"traces alone have an endpoint", "", []string{"EXPORTER_OTLP_TRACES_ENDPOINT", "https://c:4317"}, wanted{true, false}, ""},
		{"metrics alone have an endpoint", "", []string{"EXPORTER_OTLP_METRICS_ENDPOINT", at}, wanted{false, true}, ""},
		{"no traces", at, []string{"TRACES_EXPORTER", "none"}, wanted{false, true}, ""},
		{"no metrics", "", []string{"METRICS_EXPORTER", "none", "EXPORTER_OTLP_ENDPOINT", at}, wanted{true, false}, ""},
		{"an exporter, and no endpoint", "", []string{"TRACES_EXPORTER", "otlp", "METRICS_EXPORTER", "prometheus"}, wanted{true, false}, ""},
		{"disabled", at, []string{"SDK_DISABLED", "TRUE"}, wanted{}, ""},
		{"another exporter", at, []string{"TRACES_EXPORTER", "zipkin"}, wanted{}, "OTEL_TRACES_EXPORTER"},
		{"another protocol", "", []string{"EXPORTER_OTLP_ENDPOINT", at, "EXPORTER_OTLP_PROTOCOL", "http/protobuf"}, wanted{}, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{"another protocol of metrics", "", []string{"EXPORTER_OTLP_ENDPOINT", at, "EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"}, wanted{}, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"},
		{"grpc", "", []string{"EXPORTER_OTLP_ENDPOINT", at, "EXPORTER_OTLP_PROTOCOL", "grpc"}, wanted{true, true}, ""},
		{"no URL in the flag", "collector:4317", nil, wanted{}, "want http://HOST:PORT"},
		{"no URL in the environment", "", []string{"EXPORTER_OTLP_TRACES_ENDPOINT", "collector"}, wanted{}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		{"no port", "http://collector", nil, wanted{}, "want http://HOST:PORT"},
		{"another scheme", "unix://collector:1", nil, wanted{}, "want http://HOST:PORT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, tt.env...)
			got, err := (&Config{Endpoint: tt.endpoint}).wanted()
			if tt.fault == "" && (err != nil || got != tt.want) {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
			if tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
				t.Errorf("%v, want an error with %q", err, tt.fault)
			}
			if tt.fault == "" {
				return
			}
			if s, err := Start(Config{Endpoint: tt.endpoint}); s != nil || err == nil {
				t.Errorf("started: %v, %v", s, err)
			}
		})
	}
}

// What is not asked for does nothing.
func TestStart_Nothing_IsNil(t *testing.T) {
	environment(t)
	s, err := Start(Config{})
	if s != nil || err != nil {
		t.Fatal(s, err)
	}
	if p := s.TracerProvider(); p != nil {
		t.Errorf("a provider: %v", p)
	}
	s.Measure(prometheus.NewRegistry())
	s.Close()
}

// The environment says what is sampled, and what the process is called. Who has sampled already decides.
func TestTelemetry_Environment_Counts(t *testing.T) {
	environment(t, "METRICS_EXPORTER", "none", "TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0")
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "zone=a")
	s, err := Start(Config{Endpoint: silent(t), Service: "berth", Instance: "s1", Version: "v1", Say: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tracer := s.TracerProvider().Tracer("test")
	if _, span := tracer.Start(t.Context(), "first"); span.SpanContext().IsSampled() {
		t.Error("none is to be sampled, and one was")
	}
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true})
	_, span := tracer.Start(trace.ContextWithRemoteSpanContext(t.Context(), parent), "below")
	made, ok := span.(sdktrace.ReadOnlySpan)
	if !ok || !span.SpanContext().IsSampled() {
		t.Fatal("its parent was sampled, and it is not")
	}
	for key, want := range map[attribute.Key]string{"service.name": "shop", "service.instance.id": "s1", "service.version": "v1", "zone": "a"} {
		if got, _ := made.Resource().Set().Value(key); got.AsString() != want {
			t.Errorf("%s is %q, want %q", key, got.AsString(), want)
		}
	}
}

// Who makes spans does not wait for a collector that does not answer, however many there are; and the end waits for so long.
func TestTelemetry_CollectorNeverAnswers_NobodyWaits(t *testing.T) {
	environment(t)
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
	var told said
	s, err := Start(Config{Endpoint: silent(t), Service: "test", Say: told.say})
	if err != nil {
		t.Fatal(err)
	}
	s.Measure(prometheus.NewRegistry())
	tracer := s.TracerProvider().Tracer("test")
	made := make(chan struct{})
	go func() {
		defer close(made)
		for range 50_000 { // the queue takes 2,048
			_, span := tracer.Start(context.Background(), "span")
			span.End()
		}
	}()
	select {
	case <-made:
	case <-time.After(retryEnd / 2):
		t.Fatalf("50,000 spans take over %v", retryEnd/2)
	}
	begin := time.Now()
	s.Close()
	if took := time.Since(begin); took < closeTimeout/2 || took > 2*closeTimeout {
		t.Errorf("it closed after %v", took)
	}
	if list := told.all(); len(list) == 0 || len(list) > 3 {
		t.Errorf("people were told %q", list)
	}
}

// The same trouble is said at once, then once in a while, and so is its end.
func TestTeller_SaysOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told said
		x := newTeller("the collector does not answer", told.say)
		want := func(what string, n int) {
			t.Helper()
			if list := told.all(); len(list) != n || n > 0 && !strings.Contains(list[n-1], what) {
				t.Fatalf("told %q, want %d, the last with %q", list, n, what)
			}
		}
		x.result(nil)
		want("", 0)
		x.result(errors.New("first"))
		want("first", 1)
		for range 100 {
			x.result(errors.New("again"))
		}
		want("first", 1)
		time.Sleep(sayEvery)
		x.result(errors.New("later"))
		want("later (101 times", 2)
		x.result(nil)
		want("that is over", 3)
		for range 100 { // it comes and goes
			x.result(errors.New("again"))
			x.result(nil)
		}
		want("that is over", 3)
		time.Sleep(sayEvery)
		x.Handle(errors.New("later"))
		want("later", 4)
	})
}
