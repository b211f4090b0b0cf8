package raftnode

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/api"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// metrics is what a server measures, in a registry of its own. Names are in base units; no label has an identity in it.
type metrics struct {
	node     *Node
	registry *prometheus.Registry
	calls    *prometheus.HistogramVec
	writes   *prometheus.HistogramVec
	garbage  prometheus.Counter
	lookups  [5]prometheus.Counter // by api.Path
}

func newMetrics(n *Node) *metrics {
	m := &metrics{
		node: n, registry: prometheus.NewRegistry(),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "berth_call_duration_seconds", Help: "Time to answer a call of the API, by method and reason; the reason is OK when it succeeded.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18),
		}, []string{"method", "reason"}),
		writes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "berth_disk_write_duration_seconds", Help: "Time of durable writes to the disk, by what was written.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2, 18),
		}, []string{"what"}),
		garbage: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "berth_raft_port_garbage_total", Help: "Connections to the Raft port that were no server's.",
		}),
	}
	lookups := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_lookups_total", Help: "Look-ups, by what answered them: lease, leader or stale. A batch counts once.",
	}, []string{"path"})
	misses := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "berth_lease_misses_total", Help: "Look-ups that were not answered under a read lease, and why: no_lease or not_settled.",
	}, []string{"reason"})
	m.lookups = [...]prometheus.Counter{
		api.ByLease: lookups.WithLabelValues("lease"), api.ByLeader: lookups.WithLabelValues("leader"), api.ByStale: lookups.WithLabelValues("stale"),
		api.NoLease: misses.WithLabelValues("no_lease"), api.NotSettled: misses.WithLabelValues("not_settled"),
	}
	m.registry.MustRegister(m.calls, m.writes, m.garbage, lookups, misses, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), (*stateCollector)(m))
	return m
}

// Metrics is what the server measures, by the names of its HTTP port. It can be gathered while the server runs, and after it
// has ended.
func (n *Node) Metrics() prometheus.Gatherer { return n.metrics.registry }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 5 * time.Second})
}

// wrote notes a durable write.
func (m *metrics) wrote(what string, took time.Duration) {
	m.writes.WithLabelValues(what).Observe(took.Seconds())
}

// unary notes each call of the API.
func (m *metrics) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	begin := time.Now()
	resp, err := handler(ctx, req)
	reason := "OK"
	if err != nil {
		if r, _, _ := apiv1.ReasonOf(err); r != "" {
			reason = string(r)
		} else {
			reason = status.Code(err).String()
		}
	}
	m.calls.WithLabelValues(info.FullMethod, reason).Observe(time.Since(begin).Seconds())
	return resp, err
}

// stateCollector reads the state when it is asked.
type stateCollector metrics

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("berth_"+name, help, labels, nil)
}

var (
	descInfo       = desc("build_info", "Always 1; the labels say who the server is.", "server", "version", "cluster")
	descLeader     = desc("leads", "1 while the server has a tenure.")
	descTerm       = desc("raft_term", "The newest term that the server knows.")
	descIndex      = desc("published_index", "The log index of the newest state that the server has published.")
	descBarrier    = desc("barrier_index", "The log index up to which removals are visible to everybody.")
	descLease      = desc("read_lease_remaining_seconds", "How long this server's read lease still lasts; zero when it has none.")
	descHolders    = desc("read_lease_holders", "Read leases that there may be, as the leader knows; zero on the others.")
	descRemoval    = desc("removal_waiting_seconds", "How long the oldest removal has waited for the barrier, on the leader.")
	descPlacements = desc("placements", "Placements, by phase.", "phase")
	descMembers    = desc("members", "Members, by state.", "state")
	descSessions   = desc("sessions", "Open sessions.")
	descLocks      = desc("locks", "Locks that somebody holds or waits for.")
	descClaims     = desc("lock_claims", "Claims to all locks, held and waiting.")
	descServers    = desc("raft_servers", "Servers of the group, by whether they vote.", "voter")
	descCommands   = desc("commands_applied_total", "Commands applied by this server since it started.")
	descBatches    = desc("batches_proposed_total", "Log entries proposed by this server since it started, by whether they held commands.", "kind")
	descWaiting    = desc("proposals_waiting", "Commands that wait to be proposed.")
	descWatchers   = desc("watch_clients", "Streams of events that are open.")
	descSent       = desc("watch_events_sent_total", "Events sent to all who watch, since the server started.")
	descResets     = desc("watch_resets_total", "How often one who watches had lost events and was given a snapshot, since the server started.")
)

// Describe implements prometheus.Collector.
func (m *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descInfo, descLeader, descTerm, descIndex, descBarrier, descLease, descHolders, descRemoval, descPlacements, descMembers, descSessions, descLocks, descClaims, descServers, descCommands, descBatches, descWaiting, descWatchers, descSent, descResets} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *stateCollector) Collect(ch chan<- prometheus.Metric) {
	n := m.node
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descInfo, 1, n.config.Name, n.config.Version, n.Cluster())
	g := n.group()
	if g == nil {
		return
	}
	w := n.api.Watching()
	gauge(descWatchers, float64(w.Watchers))
	ch <- prometheus.MustNewConstMetric(descSent, prometheus.CounterValue, float64(w.Sent))
	ch <- prometheus.MustNewConstMetric(descResets, prometheus.CounterValue, float64(w.Resets))
	leads := 0.0
	if n.Leads() {
		leads = 1
	}
	gauge(descLeader, leads)
	_, term := g.Leader()
	v := g.View()
	gauge(descTerm, float64(term))
	gauge(descIndex, float64(v.Index))
	gauge(descBarrier, float64(v.Barrier))
	gauge(descLease, g.LeaseLeft().Seconds())
	var hold group.Hold
	if t := g.Tenure(); t != nil {
		hold = t.Hold(v)
	}
	gauge(descHolders, float64(hold.Holders))
	gauge(descRemoval, hold.Waited.Seconds())
	gauge(descSessions, float64(v.SessionCount()))
	gauge(descLocks, float64(v.LockCount()))
	gauge(descClaims, float64(v.ClaimCount()))
	settled, pending := v.Count()
	gauge(descPlacements, float64(settled), "settled")
	gauge(descPlacements, float64(pending), "pending")
	states := map[string]float64{}
	for member := range v.Members() {
		states[member.State.String()]++
	}
	for state, count := range states {
		gauge(descMembers, count, state)
	}
	voters, others := 0.0, 0.0
	for _, s := range g.Servers() {
		if s.Voter {
			voters++
		} else {
			others++
		}
	}
	gauge(descServers, voters, "true")
	gauge(descServers, others, "false")
	c := g.Counters()
	ch <- prometheus.MustNewConstMetric(descCommands, prometheus.CounterValue, float64(c.Applied))
	ch <- prometheus.MustNewConstMetric(descBatches, prometheus.CounterValue, float64(c.Batches-c.Pulses), "commands")
	ch <- prometheus.MustNewConstMetric(descBatches, prometheus.CounterValue, float64(c.Pulses), "pulse")
	gauge(descWaiting, float64(c.Waiting))
}
