package main

import (
	"github.com/spf13/pflag"

	"github.com/seed13d31b7f/berth/cmd/internal/telemetry"
)

// otlpFlag is the flag of the commands that run for long.
func otlpFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "otlp-endpoint", "", "where traces and metrics go: http://HOST:PORT of an OpenTelemetry collector (OTLP over gRPC), or https:// (default none; the variables OTEL_… count too)")
}

// startTelemetry starts to send what a process traces and measures, when the flag or the environment names a collector.
func startTelemetry(endpoint, service, instance string, say func(string)) (*telemetry.Telemetry, error) {
	if err := telemetry.CheckEndpoint(endpoint); err != nil {
		return nil, usage("--otlp-endpoint %w", err)
	}
	t, err := telemetry.Start(telemetry.Config{Endpoint: endpoint, Service: service, Instance: instance, Version: thisVersion().Version, Say: say})
	if err != nil {
		return nil, usage("%w", err)
	}
	return t, nil
}
