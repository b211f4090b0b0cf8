package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// source is what is measured at the moment: a server that is opened again has other metrics. The zero value has none.
type source struct {
	from atomic.Pointer[prometheus.Gatherer]
}

func (s *source) set(g prometheus.Gatherer) { s.from.Store(&g) }

// Gather implements prometheus.Gatherer.
func (s *source) Gather() ([]*dto.MetricFamily, error) {
	g := s.from.Load()
	if g == nil {
		return nil, nil
	}
	return (*g).Gather()
}
