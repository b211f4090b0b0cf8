package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// changes adds, in one run of three, servers that take the place of others, from some moment on. Everything else is as it is without.
func (p *Plan) changes(r *rand.Rand, from time.Duration) {
	if r.IntN(3) > 0 {
		return
	}
	for range 1 + r.IntN(2) {
		p.Spares++
		p.Rates[fmt.Sprint("s", p.Servers+p.Spares)] = p.Rates[fmt.Sprint("s", r.IntN(p.Servers)+1)]
		p.Faults = append(p.Faults, Fault{
			Kind: Replace, At: within(r, from, max(from+time.Second, min(from+20*time.Second, p.Length))), For: 15 * time.Second,
			Hosts: []string{[]string{leaderNow, followerNow, p.Patient}[r.IntN(3)]},
		})
	}
}

// roster is which servers there are.
type roster struct {
	added   []string        // beside those that the run began with
	leaving map[string]bool // somebody asks for their removal, and may have come through
	gone    map[string]bool // and has
}

// servers are the servers of the cluster, as far as is known.
func (w *world) servers() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.serversLocked()
}

func (w *world) serversLocked() []string {
	return slices.DeleteFunc(append(w.hosts("s", w.Servers), w.roster.added...), func(s string) bool { return w.roster.gone[s] })
}

// goes notes that a server was taken out.
func (w *world) goes(server string) {
	w.mu.Lock()
	w.roster.gone[server] = true
	delete(w.up, server)
	w.mu.Unlock()
	w.journal.Record(history.Event{Process: &history.Process{Name: server, Kind: "server", What: history.ProcessRemoved}})
}

// isGone says whether a server was taken out, and leaves whether it may have been.
func (w *world) isGone(server string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roster.gone[server]
}

func (w *world) leaves(server string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roster.leaving[server]
}

// replaced begins the replacing of a server: it returns the name of the one that is to take its place, empty when it is being replaced.
func (w *world) replaced(old string) (added string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.roster.leaving[old] || len(w.roster.added) == w.Spares {
		return ""
	}
	added = fmt.Sprint("s", w.Servers+len(w.roster.added)+1)
	w.roster.leaving[old], w.roster.added = true, append(w.roster.added, added)
	return added
}

// replace starts another server, waits until it has a vote, and takes one out. What cannot be done in time, as when there is no majority at the
// moment, is left as it is.
func (w *world) replace(f Fault) {
	added := w.replaced(f.Hosts[0])
	if added == "" {
		return
	}
	w.start(w.server(added))
	w.journal.Record(history.Event{Process: &history.Process{Name: added, Kind: "server", What: history.ProcessStart}})
	w.crew.begins(w.caller("reader-"+added, added, added), (*caller).read)
	w.crew.all.Go(func() { w.watch(w.crew.ctx, added) })
	ctx, cancel := context.WithTimeout(context.Background(), f.For)
	defer cancel()
	one, all := w.client("operator", added), w.client("operator")
	defer func() { _, _ = one.Close(), all.Close() }()
	votes := repeated(ctx, func(ctx context.Context) bool {
		r, err := apiv1.NewClusterClient(one.Conn()).ServerStatus(ctx, &apiv1.ServerStatusRequest{})
		return err == nil && (r.Role == apiv1.Role_FOLLOWER || r.Role == apiv1.Role_LEADER)
	})
	if votes && repeated(ctx, func(ctx context.Context) bool { return removed(ctx, all, f.Hosts[0]) }) {
		w.goes(f.Hosts[0])
	}
}

// removed takes a server out, and says whether it is.
func removed(ctx context.Context, client *lookupclient.Client, server string) bool {
	_, err := apiv1.NewClusterClient(client.Conn()).RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: server})
	var e *lookupclient.Error
	unknown := errors.As(err, &e) && e.Reason == apiv1.ReasonInvalidArgument && strings.Contains(e.Message, "there is no server")
	return err == nil || unknown
}

// repeated tries something until it works or the context ends, and says whether it did.
func repeated(ctx context.Context, try func(context.Context) bool) bool {
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, 4*time.Second)
		ok := try(one)
		cancel()
		if ok {
			return true
		}
		time.Sleep(200 * time.Millisecond)
	}
	return false
}

// counted says why the servers of the cluster are others than they should be. What was asked to be taken out, with an outcome that is not known,
// may be there or not.
func (w *world) counted(ctx context.Context, c *caller) error {
	resp, err := apiv1.NewClusterClient(c.client.Conn()).Status(ctx, &apiv1.StatusRequest{})
	if err != nil {
		return err
	}
	var there []string
	for _, s := range resp.Servers {
		there = append(there, s.Name)
	}
	for _, s := range w.servers() {
		switch in := slices.Contains(there, s); {
		case in:
		case w.leaves(s):
			w.goes(s)
		default:
			return fmt.Errorf("%s is not among %v", s, there)
		}
	}
	if known := w.servers(); len(there) != len(known) {
		return fmt.Errorf("there are %v, and should be %v", there, known)
	}
	return nil
}
