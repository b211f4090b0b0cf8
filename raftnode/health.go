package raftnode

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// livez answers as long as the process does. It never depends on other servers: a probe that restarts a server because
// its cluster has no majority makes a bad day worse. A server whose disk fails ends by itself.
func (s *serving) livez(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// check is one line of readyz.
type check struct {
	name   string
	ok     bool
	detail string
}

// readyTimeout bounds the look-up that readyz does.
const readyTimeout = time.Second

// checks finds out whether this server can serve clients now. The last one is a real look-up, on the path that clients
// use: a flag can say ready while every call hangs.
func (n *Node) checks(ctx context.Context, exclude func(string) bool) []check {
	var list []check
	add := func(name string, f func() (bool, string)) {
		if exclude(name) {
			return
		}
		ok, detail := f()
		list = append(list, check{name, ok, detail})
	}
	g := n.group()
	add("cluster", func() (bool, string) {
		if g == nil {
			return false, "the server waits for the others to form a cluster"
		}
		return true, n.Cluster()
	})
	add("leader", func() (bool, string) {
		if g == nil {
			return false, "none"
		}
		name, term := g.Leader()
		return name != "", fmt.Sprintf("%s, term %d", name, term)
	})
	add("registered", func() (bool, string) {
		if g == nil || !n.registered(g) {
			return false, "the cluster does not know where this server is yet"
		}
		return true, ""
	})
	add("lookup", func() (bool, string) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		if _, err := n.reads.view(ctx); err != nil {
			return false, err.Error()
		}
		return true, time.Since(begin).Round(10 * time.Microsecond).String()
	})
	return list
}

func allOK(list []check) bool {
	for _, c := range list {
		if !c.ok {
			return false
		}
	}
	return true
}

// readyz says whether this server can serve clients; ?verbose names each check, ?exclude=NAME leaves one out.
func (s *serving) readyz(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	left := map[string]bool{}
	for _, name := range q["exclude"] {
		left[name] = true
	}
	list := s.node.checks(r.Context(), func(name string) bool { return left[name] })
	var b strings.Builder
	if q.Has("verbose") || !allOK(list) {
		for _, c := range list {
			mark, word := '+', "ok"
			if !c.ok {
				mark, word = '-', "failed"
			}
			line := fmt.Sprintf("[%c]%s %s", mark, c.name, word)
			if c.detail != "" {
				line += ": " + c.detail
			}
			b.WriteString(line + "\n")
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if allOK(list) {
		b.WriteString("readyz check passed\n")
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
		b.WriteString("readyz check failed\n")
	}
	_, _ = w.Write([]byte(b.String()))
}

// reportHealth keeps the gRPC health service: "" is the process, "ready" and the service's name what readyz says without its
// look-up, which would cost an entry of the log each second.
func (s *serving) reportHealth(ctx context.Context) {
	const look = time.Second
	for {
		state := healthpb.HealthCheckResponse_NOT_SERVING
		if allOK(s.node.checks(ctx, func(name string) bool { return name == "lookup" })) {
			state = healthpb.HealthCheckResponse_SERVING
		}
		for _, name := range []string{"ready", apiv1.Placements_ServiceDesc.ServiceName} {
			s.health.SetServingStatus(name, state)
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return
		}
	}
}
