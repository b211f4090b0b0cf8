package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says what a process is called, and where its telemetry goes.
type Config struct {
	// Endpoint is where the collector is, http://HOST:PORT or https://HOST:PORT. It beats the environment's; empty leaves it to
	// that.
	Endpoint string
	// Service and Instance are what kind of process it is and which one; Version is that of its binary.
	Service, Instance, Version string
	// Say gets what people should know: sentences, not often.
	Say func(text string)
}

const (
	// closeTimeout bounds how long Close waits for the collector.
	closeTimeout = 3 * time.Second
	// What a collector does not take for so long, the tries again included, is given up. Not longer: what comes meanwhile
	// waits in the queue.
	retryFirst, retryMost, retryEnd = time.Second, 5 * time.Second, 10 * time.Second
)

// Telemetry is what a process sends. The nil one sends nothing.
type Telemetry struct {
	traces  *sdktrace.TracerProvider // nil: none
	metrics *sdkmetric.MeterProvider // nil: none
	source  source
	teller  *teller // of what is left at the end
}

// Start makes what Config and environment ask for, and returns nil when that is nothing. It does not wait for the collector.
// The errors are faults of Endpoint and of the environment.
func Start(c Config) (*Telemetry, error) {
	w, err := c.wanted()
	if err != nil || !w.traces && !w.metrics {
		return nil, err
	}
	ctx := context.Background()
	r, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", c.Service), attribute.String("service.instance.id", c.Instance), attribute.String("service.version", c.Version),
	), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	t := &Telemetry{teller: newTeller("the collector has not taken what was left", c.Say)}
	otel.SetErrorHandler(newTeller("telemetry", c.Say)) // what the library finds by itself
	if w.traces {
		e, err := c.spanExporter(ctx)
		if err != nil {
			return nil, err
		}
		t.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(r), sdktrace.WithBatcher(e))
	}
	if w.metrics {
		e, err := c.metricExporter(ctx)
		if err != nil {
			return nil, errors.Join(err, t.stop(ctx))
		}
		t.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithResource(r),
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(e, sdkmetric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(&t.source))))))
	}
	return t, nil
}

func (c *Config) spanExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	options := []otlptracegrpc.Option{otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: retryEnd})}
	if c.Endpoint != "" {
		options = append(options, otlptracegrpc.WithEndpointURL(c.Endpoint))
	}
	e, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, err
	}
	return &spanExporter{e, newTeller("the collector does not take traces, which are dropped", c.Say)}, nil
}

func (c *Config) metricExporter(ctx context.Context) (sdkmetric.Exporter, error) {
	options := []otlpmetricgrpc.Option{otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: retryEnd})}
	if c.Endpoint != "" {
		options = append(options, otlpmetricgrpc.WithEndpointURL(c.Endpoint))
	}
	e, err := otlpmetricgrpc.New(ctx, options...)
	if err != nil {
		return nil, err
	}
	return &metricExporter{e, newTeller("the collector does not take metrics", c.Say)}, nil
}

// TracerProvider is where spans go; nil when they go nowhere.
func (t *Telemetry) TracerProvider() trace.TracerProvider {
	if t == nil || t.traces == nil {
		return nil
	}
	return t.traces
}

// Measure has the metrics of g sent from now on, in the place of those before.
func (t *Telemetry) Measure(g prometheus.Gatherer) {
	if t != nil {
		t.source.set(g)
	}
}

// Close sends what is left, for a few seconds at most, and ends. It is called once.
func (t *Telemetry) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	t.teller.result(t.stop(ctx))
}

// stop ends both parts at once, and waits while ctx lasts: neither waits for the other.
func (t *Telemetry) stop(ctx context.Context) error {
	var tasks sync.WaitGroup
	var errs [2]error
	if t.traces != nil {
		tasks.Go(func() { errs[0] = t.traces.Shutdown(ctx) })
	}
	if t.metrics != nil {
		tasks.Go(func() { errs[1] = t.metrics.Shutdown(ctx) })
	}
	tasks.Wait()
	return errors.Join(errs[:]...)
}
