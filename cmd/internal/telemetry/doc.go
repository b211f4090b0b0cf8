// Package telemetry sends what a berth process traces and measures to an OpenTelemetry collector, by OTLP over gRPC.
//
// Start makes it from a Config and from the variables OTEL_… that OpenTelemetry's own specification has: endpoints, headers,
// certificates, timeouts, the sampler, the sizes of queues, attributes of the resource. It makes nothing when neither names a
// collector; a nil *Telemetry does nothing.
//
// The process that is traced never waits for the collector. Spans wait in a bounded queue and are dropped when it is full;
// metrics are gathered now and then, from the same registry as those of the HTTP port, so that they have the same names. A
// collector that does not answer is said, once in a while. Close sends what is left, for a bounded time.
package telemetry
