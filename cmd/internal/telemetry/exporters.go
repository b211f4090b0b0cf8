package telemetry

import (
	"context"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// spanExporter tells what becomes of spans. An error ends here: the library would only say it again.
type spanExporter struct {
	sdktrace.SpanExporter
	teller *teller
}

// ExportSpans sends spans.
func (e *spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.teller.result(e.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

// metricExporter tells what becomes of metrics. An error ends here.
type metricExporter struct {
	sdkmetric.Exporter
	teller *teller
}

// Export sends metrics.
func (e *metricExporter) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	e.teller.result(e.Exporter.Export(ctx, m))
	return nil
}
