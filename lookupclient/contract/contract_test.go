package contract_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/lookupclient/contract"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/placement/placementtest"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// world is a cluster, in virtual time, with clients that each know one of its servers.
type world struct {
	t       testing.TB
	c       *raftnodetest.Cluster
	clients int
}

func newWorld(t testing.TB) *world { return newWorldOf(t, 3) }

func newWorldOf(t testing.TB, servers int) *world {
	w := &world{t: t, c: raftnodetest.NewCluster(t, servers, nil)}
	t.Cleanup(w.c.Close)
	w.c.Leader(nil)
	return w
}

func (w *world) client(host string) *lookupclient.Client {
	server := w.c.Servers[w.clients%len(w.c.Servers)].Host
	w.clients++
	h := w.c.Network.Host(host)
	c, err := lookupclient.Open(lookupclient.Config{
		Servers: []string{server + ":7420"}, Timeout: 10 * time.Second,
		Dial: func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) storage(config contract.Config) (*contract.Storage, string) {
	host := fmt.Sprint("client-", w.clients)
	s, err := contract.NewStorage(w.client(host), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(over)
	})
	return s, host
}

func (w *world) open() placementtest.Instance {
	s, _ := w.storage(contract.Config{})
	return placementtest.Instance{Locker: s, Storage: s, Activator: contract.NewActivator(w.client(fmt.Sprint("activator-", w.clients)))}
}

// host joins a member.
func (w *world) host(member placement.MemberID, kinds map[string]func(placement.Identity) error) {
	config := lookupclient.MemberConfig{
		Name: member, Address: string(member) + ":9000", Kinds: map[string]lookupclient.Kind{},
		Now: func() time.Duration { return time.Duration(raftnodetest.Now()) },
	}
	for kind, begin := range kinds {
		config.Kinds[kind] = lookupclient.Kind{Activate: func(_ context.Context, a *lookupclient.Activation) error { return begin(a.Identity) }}
	}
	h := w.c.Network.Host(string(member))
	var servers []string
	for _, s := range w.c.Servers {
		servers = append(servers, s.Host+":7420")
	}
	c, err := lookupclient.Open(lookupclient.Config{Servers: servers, Dial: func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) }})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m, err := c.Join(ctx, config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		m.Close()
		_ = c.Close()
	})
}

// A cluster keeps the contracts, through different servers.
func TestContracts(t *testing.T) { placementtest.Run(t, ofCluster) }

var ofCluster = placementtest.Factory{
	New: func(t testing.TB) placementtest.Place {
		w := newWorld(t)
		return placementtest.Place{Open: w.open, Host: w.host}
	},
	Bubble: synctest.Test,
}

// The same holds while one call of five fails.
func TestContracts_CallsFail(t *testing.T) { placementtest.Run(t, placementtest.Failing(ofCluster, 1)) }

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var (
	cart = placement.Identity{Kind: "cart", Key: "1"}
	here = placement.StoredActivation{Member: "member-1", Ref: "pid-1"}
)

func store(t testing.TB, s *contract.Storage, id placement.Identity, a placement.StoredActivation) {
	t.Helper()
	l, err := s.TryAcquire(within(t), id)
	if err == nil {
		err = s.Store(within(t), l, a)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever is cut off is told by its own clock that what it stored is not its own any more, before another can store.
func TestStorage_CutOff_IsToldBeforeAnotherStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		lost := make(chan time.Time, 1)
		s, host := w.storage(contract.Config{OnLost: func(id placement.Identity, a placement.StoredActivation) {
			if id != cart || a != here {
				t.Errorf("lost %v %v", id, a)
			}
			lost <- time.Now()
		}})
		store(t, s, cart, here)
		other, _ := w.storage(contract.Config{})
		w.c.Network.Isolate(host, true, "s1", "s2", "s3")
		for {
			l, err := other.TryAcquire(within(t), cart)
			if err == nil {
				if err := other.Store(within(t), l, placement.StoredActivation{Member: "member-2", Ref: "pid-2"}); err != nil {
					t.Fatal(err)
				}
				break
			}
			if !errors.Is(err, placement.ErrNotGranted) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		select {
		case at := <-lost:
			t.Logf("told %v before", time.Since(at))
		default:
			t.Error("another has stored, and the first one was not told")
		}
		w.c.Network.Isolate(host, false, "s1", "s2", "s3")
	})
}

// What is removed elsewhere is lost here; what is removed here is not.
func TestStorage_RemovedElsewhere_IsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		lost := make(chan placement.Identity, 10)
		s, _ := w.storage(contract.Config{OnLost: func(id placement.Identity, _ placement.StoredActivation) { lost <- id }})
		other, _ := w.storage(contract.Config{})
		second := placement.Identity{Kind: "cart", Key: "2"}
		store(t, s, cart, here)
		store(t, s, second, here)
		if err := other.Remove(within(t), cart, here); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(within(t), second, here); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // a keepalive is sent after 1.25 s, and answered within half a second
		if len(lost) != 1 || <-lost != cart {
			t.Errorf("%d were lost", len(lost))
		}
	})
}

// What was stored outlives a leader, and ends with its storage.
func TestStorage_LeaderKilled_StaysUntilClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.c.Leader(nil)
		w.clients = 0
		for w.c.Servers[w.clients] == l {
			w.clients++
		}
		lost := 0
		s, _ := w.storage(contract.Config{OnLost: func(placement.Identity, placement.StoredActivation) { lost++ }})
		store(t, s, cart, here)
		l.Kill()
		w.c.Leader(l)
		time.Sleep(20 * time.Second)
		if a, ok, err := s.Load(within(t), cart); err != nil || !ok || a != here {
			t.Errorf("after a failover Load = %v, %t, %v", a, ok, err)
		}
		for w.c.Servers[w.clients%3] == l {
			w.clients++
		}
		other, _ := w.storage(contract.Config{})
		if err := s.Close(within(t)); err != nil {
			t.Error(err)
		}
		if err := s.Close(within(t)); err != nil {
			t.Errorf("again: %v", err)
		}
		if a, ok, err := other.Load(within(t), cart); err != nil || ok {
			t.Errorf("after Close Load = %v, %t, %v", a, ok, err)
		}
		if _, err := s.TryAcquire(within(t), cart); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if lost != 0 {
			t.Errorf("OnLost was called %d times", lost)
		}
	})
}

// Spaces have nothing to do with each other, nor with locks of other names.
func TestStorage_Spaces_AreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, _ := w.storage(contract.Config{Space: "a"})
		b, _ := w.storage(contract.Config{Space: "b"})
		store(t, a, cart, here)
		store(t, b, cart, placement.StoredActivation{Member: "member-2", Ref: "pid-2"})
		if err := b.RemoveMember(within(t), here.Member); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := a.Load(within(t), cart); err != nil || !ok || got != here {
			t.Errorf("Load = %v, %t, %v", got, ok, err)
		}
	})
}

// A Store that is cut short anywhere is done, or has stored nothing.
func TestStorage_StoreIsCutShort_DoneOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, host := w.storage(contract.Config{})
		for _, server := range w.c.Servers {
			w.c.Network.Delay(host, server.Host, time.Millisecond)
		}
		done, short := 0, 0
		for i := range 80 {
			id := placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}
			l, err := s.TryAcquire(within(t), id)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
			err = s.Store(ctx, l, here)
			cancel()
			a, ok, loadErr := s.Load(within(t), id)
			if loadErr != nil || ok != (err == nil) || ok && a != here {
				t.Errorf("Store within %d ms: %v; Load = %v, %t, %v", i, err, a, ok, loadErr)
			}
			if !ok {
				short++
				continue
			}
			done++
			if err := s.Remove(within(t), id, here); err != nil {
				t.Error(err)
			}
		}
		t.Logf("%d were done, %d cut short", done, short)
		if done < 5 || short < 5 {
			t.Errorf("%d were done, %d cut short: nothing is shown", done, short)
		}
	})
}

// part acquires the lock of cart, and claims the part in a member, as a Store does whose process then dies.
func (w *world) part(s *contract.Storage, member string) placement.SpawnLock {
	w.t.Helper()
	l, err := s.TryAcquire(within(w.t), cart)
	if err != nil {
		w.t.Fatal(err)
	}
	session, _, _ := strings.Cut(l.ID, ".")
	number, err := strconv.ParseUint(session, 36, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = apiv1.NewLocksClient(w.client("dies").Conn()).AcquireLock(within(w.t), &apiv1.AcquireLockRequest{
		Name: "berth.storage/default/member/" + member, Session: number, Mode: apiv1.LockMode_SHARED,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// Who has a part in a member, and stored another member's activation, is not that member's: what it stored stays.
func TestStorage_PartInAnotherMember_IsNotRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, _ := w.storage(contract.Config{})
		l := w.part(s, "member-2")
		if err := s.Store(within(t), l, here); err != nil {
			t.Fatal(err)
		}
		if err := s.RemoveMember(within(t), "member-2"); err != nil {
			t.Fatal(err)
		}
		if a, ok, err := s.Load(within(t), cart); err != nil || !ok || a != here {
			t.Errorf("Load = %v, %t, %v", a, ok, err)
		}
	})
}

// A member is removed while a Store for it is on its way: the Store fails.
func TestStorage_MemberIsRemovedWithinAStore_NothingIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, _ := w.storage(contract.Config{})
		l := w.part(s, string(here.Member))
		if err := s.RemoveMember(within(t), here.Member); err != nil {
			t.Fatal(err)
		}
		other := placement.StoredActivation{Member: "member-2", Ref: "pid-2"}
		if err := s.Store(within(t), l, other); !errors.Is(err, placement.ErrLockNotFound) {
			t.Errorf("Store with the lock of that session: %v", err)
		}
		if _, ok, err := s.Load(within(t), cart); err != nil || ok {
			t.Errorf("Load = %t, %v", ok, err)
		}
		store(t, s, cart, other)
	})
}

// A member that is removed again is barred for the whole time from then on, and one that was long ago is not.
func TestStorage_RemovedAgain_IsBarredFromThenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1)
		s, _ := w.storage(contract.Config{})
		for range 2 {
			if err := s.RemoveMember(within(t), here.Member); err != nil {
				t.Fatal(err)
			}
			time.Sleep(placement.MemberBarredMin - 10*time.Second)
		}
		l, err := s.TryAcquire(within(t), cart)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Store(within(t), l, here); !errors.Is(err, placement.ErrMemberBarred) {
			t.Errorf("Store: %v", err)
		}
		time.Sleep(placement.MemberBarredMin * 5 / 4)
		store(t, s, cart, here)
	})
}

// spawnName is the name of the one spawn lock that there is.
func (w *world) spawnName() string {
	w.t.Helper()
	const root = "berth.storage/default/spawn/"
	resp, err := apiv1.NewLocksClient(w.client("lists").Conn()).ListLocks(within(w.t), &apiv1.ListLocksRequest{PageToken: root})
	if err != nil || len(resp.Locks) == 0 || !strings.HasPrefix(resp.Locks[0].Name, root) {
		w.t.Fatalf("%v, %v", resp, err)
	}
	return resp.Locks[0].Name
}

// A lock is released while a Store with it is on its way, which has written its record: the Store stands.
func TestStorage_ReleasedWithinAStore_StoreStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, _ := w.storage(contract.Config{})
		l := w.part(s, string(here.Member))
		name := strings.Replace(w.spawnName(), "/spawn/", "/stored/", 1) + "/0/" + string(here.Member) + "/" + here.Ref
		session, _, _ := strings.Cut(l.ID, ".")
		number, _ := strconv.ParseUint(session, 36, 64)
		if _, err := apiv1.NewLocksClient(w.client("stores").Conn()).AcquireLock(within(t), &apiv1.AcquireLockRequest{Name: name, Session: number}); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(within(t), l); err != nil {
			t.Fatal(err)
		}
		if a, ok, err := s.Load(within(t), cart); err != nil || !ok || a != here {
			t.Errorf("Load = %v, %t, %v", a, ok, err)
		}
	})
}

// Whoever waited for a lock has it for a moment, to let go: nobody is refused for that.
func TestStorage_WaitersPass_LockIsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, _ := w.storage(contract.Config{})
		l, err := s.TryAcquire(within(t), cart)
		if err != nil {
			t.Fatal(err)
		}
		name := w.spawnName()
		if err := s.Release(within(t), l); err != nil {
			t.Fatal(err)
		}
		api := apiv1.NewLocksClient(w.client("waits").Conn())
		for _, tt := range []struct {
			passing time.Duration
			want    error
		}{{300 * time.Millisecond, nil}, {3 * time.Second, placement.ErrNotGranted}} {
			resp, err := api.AcquireLock(within(t), &apiv1.AcquireLockRequest{Name: name, Mode: apiv1.LockMode_SHARED, Holder: "storage waits x"})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(tt.passing)
				if _, err := api.ReleaseLock(within(t), &apiv1.ReleaseLockRequest{Name: name, Session: resp.Session, Close: true}); err != nil {
					t.Error(err)
				}
			}()
			l, err := s.TryAcquire(within(t), cart)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("passing %v: %v, want %v", tt.passing, err, tt.want)
			}
			<-done
			if err == nil {
				if err := s.Release(within(t), l); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// Whoever gives up waiting is in nobody's way either, at whatever moment, by a deadline or without one.
func TestStorage_WaiterGivesUp_LockIsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, _ := w.storage(contract.Config{})
		givesUp := func(name string, want error, ctx context.Context) {
			l, err := s.TryAcquire(within(t), cart)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Wait(ctx, cart); !errors.Is(err, want) {
				t.Errorf("%s: Wait: %v", name, err)
			}
			if err := s.Release(within(t), l); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if l, err = s.TryAcquire(within(t), cart); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if took := time.Since(begin); took > 200*time.Millisecond {
				t.Errorf("%s: TryAcquire took %v", name, took)
			}
			if err := s.Release(within(t), l); err != nil {
				t.Fatal(err)
			}
		}
		for after := 3 * time.Millisecond; after < 4*time.Second; after += after / 3 {
			ctx, cancel := context.WithCancel(within(t))
			time.AfterFunc(after, cancel)
			givesUp(fmt.Sprint("cancelled after ", after), context.Canceled, ctx)
			ctx, cancel = context.WithTimeout(within(t), after)
			givesUp(fmt.Sprint("a deadline of ", after), context.DeadlineExceeded, ctx)
			cancel()
		}
	})
}

// An operator that breaks a lock of a storage takes the activation away, and its owner is told.
func TestStorage_LockIsBroken_IsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		lost := make(chan placement.Identity, 10)
		s, _ := w.storage(contract.Config{OnLost: func(id placement.Identity, _ placement.StoredActivation) { lost <- id }})
		store(t, s, cart, here)
		api := apiv1.NewLocksClient(w.client("operator").Conn())
		if _, err := api.BreakLock(within(t), &apiv1.BreakLockRequest{Name: "berth.storage/default/member/member-1"}); err != nil {
			t.Fatal(err)
		}
		if id := <-lost; id != cart {
			t.Errorf("lost %v", id)
		}
		if a, ok, err := s.Load(within(t), cart); err != nil || ok {
			t.Errorf("Load = %v, %t, %v", a, ok, err)
		}
		store(t, s, cart, placement.StoredActivation{Member: "member-2", Ref: "pid-2"})
	})
}

// One process keeps a number of activations; one more is refused, and can be stored by another one.
func TestStorage_Full_Refuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, _ := w.storage(contract.Config{})
		s.Limit(1)
		store(t, s, cart, here)
		l, err := s.TryAcquire(within(t), placement.Identity{Kind: "cart", Key: "2"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Store(within(t), l, here); !errors.Is(err, contract.ErrFull) {
			t.Errorf("one more than the limit: %v", err)
		}
		other, _ := w.storage(contract.Config{})
		if err := other.Store(within(t), l, here); err != nil {
			t.Error(err)
		}
		if err := s.Remove(within(t), cart, here); err != nil {
			t.Fatal(err)
		}
		store(t, s, cart, here)
	})
}

func TestConfig_Validate(t *testing.T) {
	for _, tt := range []struct {
		c     contract.Config
		valid bool
	}{
		{contract.Config{}, true}, {contract.Config{Space: "proto.actor-1", Stale: time.Second}, true}, {contract.Config{Stale: contract.StaleMax}, true},
		{contract.Config{Space: "a/b"}, false}, {contract.Config{Stale: time.Minute}, false}, {contract.Config{Stale: -1}, false},
	} {
		if err := tt.c.Validate(); (err == nil) != tt.valid {
			t.Errorf("%+v: %v", tt.c, err)
		}
		if tt.valid {
			continue
		}
		if _, err := contract.NewStorage(nil, tt.c); err == nil {
			t.Errorf("NewStorage takes %+v", tt.c)
		}
	}
}
