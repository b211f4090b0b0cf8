package placementtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// plain is a resolver without coalescing, and with one fault perhaps: those of a resolver that was written before.
type plain struct {
	placement.Locker
	placement.Storage
	hosts *Hosts

	ignoresStore bool // a Store that failed counts as one that was done
	adopts       bool // what is stored is taken, whoever owns it
	asksNobody   bool // what is stored on a member that is there is taken without asking it
	insists      bool // a Release that fails takes the answer along
}

func (p *plain) Ensure(ctx context.Context, id placement.Identity) (a placement.Activated, err error) {
	for range 20 {
		var again bool
		if a, again, err = p.try(ctx, id); !again {
			return a, err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return placement.Activated{}, errors.Join(errors.New("tried too often"), err)
}

func (p *plain) try(ctx context.Context, id placement.Identity) (none placement.Activated, again bool, err error) {
	a, ok, err := p.Load(ctx, id)
	if err != nil {
		return none, true, err
	}
	if ok {
		there := slices.Contains(p.hosts.Members(), a.Member)
		if p.adopts || p.asksNobody && there || p.hosts.Runs(a.Member, id, a.Ref) {
			return activatedOf(id, a), false, nil
		}
		return none, true, p.Storage.Remove(ctx, id, a)
	}
	l, err := p.TryAcquire(ctx, id)
	if err != nil {
		_, _, _ = p.Wait(ctx, id)
		return none, true, err
	}
	why := []error{placement.ErrNoHost}
	for _, member := range p.hosts.Members() {
		ref, err := p.hosts.Begin(member, id)
		if err != nil {
			why = append(why, err)
			continue
		}
		a = placement.StoredActivation{Member: member, Ref: ref}
		if err := p.Store(ctx, l, a); err != nil && !p.ignoresStore {
			p.hosts.Stop(member, ref)
			return none, true, errors.Join(err, p.Release(ctx, l))
		}
		p.hosts.Act(member, ref)
		if err := p.Release(ctx, l); err != nil && p.insists {
			return none, false, err
		}
		return activatedOf(id, a), false, nil
	}
	return none, false, errors.Join(append(why, p.Release(ctx, l))...)
}

func (p *plain) End(ctx context.Context, a placement.Activated) error {
	return (&Resolver{storage: p.Storage, hosts: p.hosts}).End(ctx, a)
}

// Each fault that a resolver is known to have had is seen by the case that is there for it. Without a fault nothing is seen,
// but that nobody coalesces.
func TestClusterCases_BrokenResolver_IsSeen(t *testing.T) {
	const alone = "WhoAsksAtOnceSharesALock"
	for _, tt := range []struct {
		name, seenBy string
		fault        func(*plain)
	}{
		{"a Store that failed counts", "FailedStoreIsNoActivation", func(p *plain) { p.ignoresStore = true }},
		{"what is stored is adopted, whoever owns it", "WhoIsGoneIsNotAdopted", func(p *plain) { p.adopts = true }},
		{"the owner is not asked", "OwnerIsAsked", func(p *plain) { p.asksNobody = true }},
		{"a failed Release drops what was resolved", "FailedReleaseDropsNothing", func(p *plain) { p.insists = true }},
		{"everybody who asks tries the lock", alone, func(*plain) {}},
		{"nothing", "", func(*plain) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range ClusterCases() {
				if tt.seenBy != "" && c.Name != tt.seenBy || tt.seenBy == "" && c.Name == alone {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					r := &recorder{TB: t}
					m := NewMemory(5 * time.Second)
					r.run(c, Factory{
						New: func(testing.TB) Place { return Place{Open: func() Instance { return storing(m) }} },
						Resolver: func(l placement.Locker, s placement.Storage, h *Hosts) placement.Activator {
							p := &plain{Locker: l, Storage: s, hosts: h}
							tt.fault(p)
							return p
						},
					})
					if seen := len(r.failures) > 0; seen != (tt.seenBy != "") {
						t.Errorf("%s: %q", c.Name, r.failures)
					}
				})
			}
		})
	}
}

// A resolution of which nobody waits for the end any more ends: what it has begun is not found later, hidden.
func TestResolver_NobodyWaitsAnyMore_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails when anything goes on after its end
		hosts, m := NewHosts(), NewMemory(10*time.Second)
		hosts.Add("member-1", map[string]func(placement.Identity) error{"cart": func(placement.Identity) error { return nil }})
		r := NewResolver(m, noStores{m}, hosts)
		soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		later, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		gaveUp := make(chan struct{})
		go func() {
			defer close(gaveUp)
			if _, err := r.Ensure(soon, identity("1")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Ensure that nobody can answer = %v", err)
			}
		}()
		_, err := r.Ensure(later, identity("1"))
		if <-gaveUp; !errors.Is(err, context.DeadlineExceeded) || hosts.Begun() < 2 {
			t.Errorf("Ensure beside another that gave up = %v, with %d begun: it is to go on", err, hosts.Begun())
		}
		if acting, hidden := hosts.Of(identity("1")); acting != 0 || hidden != 0 {
			t.Errorf("%d act and %d are hidden after the end", acting, hidden)
		}
	})
}
