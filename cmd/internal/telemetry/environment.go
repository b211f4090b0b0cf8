package telemetry

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// wanted says what is sent.
type wanted struct{ traces, metrics bool }

// wanted finds out what is sent: both when there is an endpoint, unless the environment says otherwise.
func (c *Config) wanted() (w wanted, err error) {
	err = CheckEndpoint(c.Endpoint)
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return w, err
	}
	var errs [2]error
	w.traces, errs[0] = c.signal("TRACES")
	w.metrics, errs[1] = c.signal("METRICS")
	return w, errors.Join(err, errs[0], errs[1])
}

// signal says whether traces, or metrics, are sent.
func (c *Config) signal(name string) (bool, error) {
	exporter := os.Getenv("OTEL_" + name + "_EXPORTER")
	if exporter == "none" {
		return false, nil
	}
	variable, value := first("OTEL_EXPORTER_OTLP_"+name+"_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if c.Endpoint == "" && value == "" {
		return exporter == "otlp", nil
	}
	if exporter != "" && exporter != "otlp" {
		return false, fmt.Errorf("OTEL_%s_EXPORTER=%.80q: there are otlp and none", name, exporter)
	}
	if c.Endpoint != "" {
		return true, nil
	}
	if variable, protocol := first("OTEL_EXPORTER_OTLP_"+name+"_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "grpc" {
		return false, fmt.Errorf("%s=%.80q: there is grpc alone", variable, protocol)
	}
	if err := CheckEndpoint(value); err != nil {
		return false, fmt.Errorf("%s: %w", variable, err)
	}
	return true, nil
}

// first is the first of the variables that is set to something.
func first(names ...string) (name, value string) {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return name, v
		}
	}
	return "", ""
}

// CheckEndpoint looks at an endpoint; the empty one is none.
func CheckEndpoint(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" {
		return fmt.Errorf("%.80q: want http://HOST:PORT of a collector's OTLP over gRPC, or https://HOST:PORT with encryption", s)
	}
	return nil
}
