package runner

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

var _ nemesis.World = (*cluster)(nil)

// Servers are the names of the servers of the cluster.
func (k *cluster) Servers() []string {
	var list []string
	for _, s := range k.list() {
		list = append(list, s.Name)
	}
	return list
}

func namesOf(list []*worker) []string {
	var names []string
	for _, w := range list {
		names = append(names, w.Name)
	}
	return names
}

// Members are the names of the members.
func (k *cluster) Members() []string { return namesOf(k.members) }

// Lockers are the names of the lock holders.
func (k *cluster) Lockers() []string { return namesOf(k.lockers) }

// Askers are the names of the processes in which clients ask.
func (k *cluster) Askers() []string { return namesOf(k.askers) }

// Leader is the server that led when they were last asked.
func (k *cluster) Leader() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.leader
}

// act does something to a process; one that does not run, or is gone, is left alone.
func (k *cluster) act(name, what string, do func(*worker) error) error {
	w := k.find(name)
	if w == nil {
		return nil
	}
	err := do(w)
	if errors.Is(err, procs.ErrEnded) || errors.Is(err, procs.ErrRuns) {
		return nil
	}
	if err == nil && what != "" {
		k.say(w, what)
	}
	return err
}

// Kill kills a process.
func (k *cluster) Kill(name string) error {
	return k.act(name, history.ProcessKill, func(w *worker) error {
		w.excuse()
		return w.Process.Kill()
	})
}

// Pause stops a process with SIGSTOP.
func (k *cluster) Pause(name string) error {
	return k.act(name, history.ProcessStop, func(w *worker) error { return w.Process.Pause() })
}

// Resume has a process that was stopped go on.
func (k *cluster) Resume(name string) error {
	if w := k.find(name); w == nil || !w.Stopped() {
		return nil
	}
	return k.act(name, history.ProcessGoOn, func(w *worker) error { return w.Process.Resume() })
}

// Stop ends a process in order.
func (k *cluster) Stop(name string) error {
	return k.act(name, "", func(w *worker) error {
		w.excuse()
		return w.Process.Stop(stopPatience)
	})
}

// Start starts a process that does not run.
func (k *cluster) Start(name string) error {
	k.power.RLock()
	defer k.power.RUnlock()
	return k.act(name, "", func(w *worker) error {
		if w.Runs() {
			return nil
		}
		return k.launch(w)
	})
}

// operateTimeout bounds what an operator asks of the cluster.
const operateTimeout = 4 * time.Second

// Transfer hands the leadership to somebody.
func (k *cluster) Transfer(ctx context.Context) error {
	s := k.server(k.Leader())
	if s == nil {
		return errors.New("nobody leads")
	}
	ctx, cancel := context.WithTimeout(ctx, operateTimeout)
	defer cancel()
	return k.ask(s, func(api apiv1.ClusterClient) error {
		_, err := api.TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{})
		return err
	})
}

// Replace adds a server, waits until it has a vote, and takes another one out. What cannot be done in time, as when there is
// no majority at the moment, is left as it is.
func (k *cluster) Replace(ctx context.Context, name string) (added string, err error) {
	old := k.server(name)
	if old == nil {
		return "", nil
	}
	k.mu.Lock()
	if k.mu.spare >= k.config.Scenario.Servers+k.config.Scenario.added() {
		k.mu.Unlock()
		return "nobody (there is no spare server left)", nil
	}
	var joined []string
	for _, s := range k.mu.servers {
		if s != old {
			joined = append(joined, s.raft)
		}
	}
	s, err := k.newServerLocked(joined, 0)
	if err == nil {
		k.mu.servers = append(k.mu.servers, s)
	}
	k.mu.Unlock()
	if err != nil {
		return "", err
	}
	if err := k.launch(s.worker); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, replaceTimeout)
	defer cancel()
	if !k.await(ctx, func() bool { return k.votes(ctx, s) }) {
		return s.Name + " (without a vote so far)", nil
	}
	return s.Name, k.remove(ctx, old)
}

// replaceTimeout bounds the replacing of a server.
const replaceTimeout = 10 * time.Second

// votes says whether a server has a vote, as it says itself.
func (k *cluster) votes(ctx context.Context, s *server) bool {
	status, err := k.status(ctx, s)
	return err == nil && (status.Role == apiv1.Role_FOLLOWER || status.Role == apiv1.Role_LEADER)
}

// leads says whether a server leads, as it says itself.
func (k *cluster) leads(ctx context.Context, s *server) bool {
	status, err := k.status(ctx, s)
	return err == nil && status.Role == apiv1.Role_LEADER
}

// remove takes a server out of the cluster; it ends by itself.
func (k *cluster) remove(ctx context.Context, old *server) error {
	old.leaves(true)
	removed := k.await(ctx, func() bool {
		for _, s := range k.list() {
			if s == old {
				continue
			}
			err := k.ask(s, func(api apiv1.ClusterClient) error {
				ctx, cancel := context.WithTimeout(ctx, operateTimeout)
				defer cancel()
				_, err := api.RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: old.Name})
				return err
			})
			if err == nil || unknownServer(err) {
				return true
			}
		}
		return false
	})
	if !removed {
		old.leaves(false)
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.mu.servers, old) {
		return nil // two faults replaced it at a time
	}
	k.mu.servers = slices.DeleteFunc(k.mu.servers, func(s *server) bool { return s == old })
	k.mu.gone = append(k.mu.gone, old)
	k.say(old.worker, history.ProcessRemoved)
	return nil
}

// unknownServer says whether a cluster refused to remove a server since there is none of that name. That no server could be reached
// says nothing of the kind.
func unknownServer(err error) bool {
	var e *lookupclient.Error
	return errors.As(err, &e) && e.Reason == apiv1.ReasonInvalidArgument && strings.Contains(e.Message, "there is no server")
}

// Damage kills a server, damages a file of its disk, and starts it.
func (k *cluster) Damage(ctx context.Context, name string, draw uint64) (what string, alive bool, err error) {
	s := k.server(name)
	if s == nil {
		return "nothing: it is gone", true, nil
	}
	if err := k.Kill(name); err != nil {
		return "", false, err
	}
	if what, err = damage(s.data, rand.New(rand.NewPCG(draw, 6))); err != nil {
		return what, false, err
	}
	if err := k.launch(s.worker); err != nil {
		return what, false, err
	}
	s.excuse() // it may refuse
	ctx, cancel := context.WithTimeout(ctx, replaceTimeout)
	defer cancel()
	up := k.await(ctx, func() bool { return !s.Runs() || k.votes(ctx, s) })
	if up && s.Runs() {
		s.mu.Lock()
		s.excused = false
		s.mu.Unlock()
		return what, true, nil
	}
	return what, false, nil
}

// await asks until it is so, or ctx ends.
func (k *cluster) await(ctx context.Context, so func() bool) bool {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for !so() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
