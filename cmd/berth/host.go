package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) hostCommand() *cobra.Command {
	h := &hosting{app: a}
	c := command("host", "Run a demo member that hosts activations", cobra.NoArgs, func(ctx context.Context, _ []string) error { return h.run(ctx) })
	c.Long = `Run a member that hosts activations of some kinds and does nothing with them: to try berth out, and to test. It shows what a
member of yours does through lookupclient.Join: it confirms what it is chosen for, ends what it is asked to end, and when it
cannot prove its lease it ends everything by its own clock, before anybody else can be chosen.

It answers HTTP at the address that lookups return: GET /activations/KIND/KEY says whether it may act for the identity at
this moment, and with which epoch. SIGTERM has it leave in order.`
	c.Example = `  berth host --name host-9 --kinds cart,room
  curl localhost:PORT/activations/cart/42`
	f := c.Flags()
	f.StringVar(&h.name, "name", "", "the member's name, which it keeps over restarts (needed)")
	f.StringSliceVar(&h.kinds, "kinds", nil, "the kinds of identities that it hosts (needed)")
	f.StringVar(&h.addr, "addr", "127.0.0.1:0", "where it listens for HTTP")
	f.StringToStringVar(&h.labels, "label", nil, "labels, KEY=VALUE")
	f.Uint32Var(&h.weight, "weight", placement.WeightDefault, "its share, relative to other members")
	f.Uint32Var(&h.capacity, "capacity", 0, "the most placements that it takes (0: no limit)")
	f.DurationVar(&h.leave, "leave-timeout", 10*time.Second, "how long leaving may take")
	f.Uint32Var(&h.rate, "leave-rate", 0, "the most activations a second that leaving stops (0: all at once)")
	otlpFlag(f, &h.otlp)
	untilEOF(f, &h.eof)
	a.asking(c)
	return c
}

// hosting is one run of the command.
type hosting struct {
	*app
	name     string
	kinds    []string
	addr     string
	labels   map[string]string
	weight   uint32
	capacity uint32
	leave    time.Duration
	rate     uint32
	otlp     string
	eof      int

	mu   sync.Mutex
	acts map[placement.Identity]*lookupclient.Activation
}

func (h *hosting) run(ctx context.Context) error {
	ctx, cancel := boundTo(ctx, h.eof)
	defer cancel()
	if h.name == "" || len(h.kinds) == 0 {
		return usage("--name and --kinds are needed: berth host --name host-1 --kinds cart")
	}
	h.acts = map[placement.Identity]*lookupclient.Activation{}
	t, err := startTelemetry(h.otlp, "berth-host", h.name, func(text string) { h.say("%s", text) })
	if err != nil {
		return err
	}
	defer t.Close()
	t.Measure(h.metrics())
	h.tracer = t.TracerProvider()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	server := &http.Server{Handler: h.handler(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { _ = server.Close() }()
	return h.attend(func(c *lookupclient.Client) error { return h.member(ctx, c, l.Addr().String(), served) })
}

// metrics are what the member measures of itself.
func (h *hosting) metrics() prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "berth_member_activations", Help: "Activations that the member may act for.",
	}, func() float64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return float64(len(h.acts))
	}))
	return r
}

// member joins, and stays until it is told to end.
func (h *hosting) member(ctx context.Context, c *lookupclient.Client, address string, served <-chan error) error {
	kinds := map[string]lookupclient.Kind{}
	for _, k := range h.kinds {
		kinds[k] = lookupclient.Kind{Run: h.activation}
	}
	m, err := c.Join(ctx, lookupclient.MemberConfig{
		Name: placement.MemberID(h.name), Address: address, Kinds: kinds, Labels: h.labels, Weight: h.weight, Capacity: h.capacity,
		LeaveRate: h.rate,
	})
	if err != nil {
		return err
	}
	state := m.State()
	self := &apiv1.Member{
		Name: h.name, Address: address, Kinds: h.kinds, Labels: h.labels, Weight: h.weight, Capacity: h.capacity,
		Incarnation: uint64(state.Incarnation), State: apiv1.Member_LIVE,
	}
	err = h.printer.Print(self, func(r *output.Rows) {
		r.Line("%s joined (incarnation %d), hosts %s at %s", h.name, state.Incarnation, strings.Join(h.kinds, ", "), address)
	})
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-served:
		case <-m.Done():
			if err = m.Err(); err != nil {
				return err
			}
			err = errors.New("the member has ended")
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.leave)
	defer cancel()
	return errors.Join(err, m.Leave(end))
}

// activation is the life of one activation.
func (h *hosting) activation(a *lookupclient.Activation) {
	h.mu.Lock()
	h.acts[a.Identity] = a
	h.mu.Unlock()
	<-a.Context().Done()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.acts[a.Identity] == a {
		delete(h.acts, a.Identity)
	}
}

// held is what a member says of an activation.
type held struct {
	Identity  string `json:"identity"`
	Epoch     uint64 `json:"epoch,string"`
	Member    string `json:"member"`
	LeaseLeft string `json:"leaseLeft"`
}

// handler answers for the activations. What is refused here is refused before its effect: the check comes last.
func (h *hosting) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /activations/{kind}/{key...}", func(w http.ResponseWriter, r *http.Request) {
		id := placement.Identity{Kind: r.PathValue("kind"), Key: r.PathValue("key")}
		h.mu.Lock()
		a := h.acts[id]
		h.mu.Unlock()
		if a == nil {
			http.Error(w, id.String()+" is not active here", http.StatusNotFound)
			return
		}
		if err := a.Check(); err != nil {
			http.Error(w, id.String()+": "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		b, err := output.Marshal(held{id.String(), uint64(a.Epoch), h.name, a.LeaseLeft().Round(time.Millisecond).String()}, false)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(append(b, '\n')); err != nil {
			slog.Debug("answer lost", "error", err)
		}
	})
	return mux
}
