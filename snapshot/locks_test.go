package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// lockModel is sessions and locks said in the plainest way: a lock is a list of claims, and those that hold it are as many
// from its front as go together.
type lockModel struct {
	sessions map[placement.SessionID]placement.Session
	locks    map[string][]placement.Claim
	permits  map[string]uint32
}

func newLockModel() *lockModel {
	return &lockModel{sessions: map[placement.SessionID]placement.Session{}, locks: map[string][]placement.Claim{}, permits: map[string]uint32{}}
}

// held is the number of claims of a list that hold the lock.
func (m *lockModel) held(name string) int {
	n, mode := 0, placement.LockMode(0)
	for _, c := range m.locks[name] {
		together := mode == 0 || mode == placement.LockShared && c.Mode == placement.LockShared ||
			mode == placement.LockPermit && n < int(m.permits[name])
		if !together {
			break
		}
		n, mode = n+1, c.Mode
	}
	return n
}

func (m *lockModel) find(name string, id placement.SessionID) int {
	return slices.IndexFunc(m.locks[name], func(c placement.Claim) bool { return c.Session == id })
}

func (m *lockModel) remove(e *Editor, name string, i int) {
	e.RemoveClaim(name, m.locks[name][i].Token)
	if m.locks[name] = slices.Delete(m.locks[name], i, i+1); len(m.locks[name]) == 0 {
		delete(m.locks, name)
		delete(m.permits, name)
	}
	letIn(e, name)
}

// letIn lets in who may hold the lock, as the state machine does.
func letIn(e *Editor, name string) {
	for {
		l, _ := e.View().Lock(name)
		next, ok := l.Next()
		if !ok || !l.Use.Admits(next.Mode) {
			return
		}
		e.Grant(name)
	}
}

// step does something at random, to the editor and to the model. token is larger than all before it.
func (m *lockModel) step(rng *rand.Rand, e *Editor, token uint64) {
	ids := slices.Sorted(maps.Keys(m.sessions))
	if len(ids) < 4 || rng.IntN(30) == 0 {
		s := placement.Session{ID: placement.SessionID(token), TTL: time.Duration(1+rng.IntN(300)) * time.Second, Holder: fmt.Sprint("h", rng.IntN(5))}
		if rng.IntN(2) == 0 {
			s.Owner = "somebody"
		}
		e.OpenSession(s)
		m.sessions[s.ID] = s
		return
	}
	id := ids[rng.IntN(len(ids))]
	if rng.IntN(25) == 0 {
		m.end(e, id, rng.IntN(2) == 0)
		return
	}
	name := fmt.Sprintf("lock-%d", rng.IntN(8))
	if i := m.find(name, id); i >= 0 {
		m.change(rng, e, name, i)
		return
	}
	c := placement.Claim{Token: placement.Epoch(token), Session: id, Mode: placement.LockMode(1 + rng.IntN(2)), Delay: time.Duration(rng.IntN(3)) * time.Second}
	permits := uint32(0)
	if name > "lock-5" {
		c.Mode, permits = placement.LockPermit, 2
	}
	e.AddClaim(name, permits, c)
	m.locks[name], m.permits[name] = append(m.locks[name], c), permits
	letIn(e, name)
}

// change removes a claim, or loses one that holds its lock.
func (m *lockModel) change(rng *rand.Rand, e *Editor, name string, i int) {
	c := m.locks[name][i]
	if i >= m.held(name) || c.Lost != placement.LockKept || rng.IntN(3) > 0 {
		m.remove(e, name, i)
		return
	}
	c.Lost, c.Delay = placement.LockBroken, c.Delay+time.Second
	e.SetClaim(name, c)
	m.locks[name][i] = c
}

// end ends a session; its lost claims stay, and so do those that it held when it expires.
func (m *lockModel) end(e *Editor, id placement.SessionID, expires bool) {
	for _, name := range slices.Sorted(maps.Keys(m.locks)) {
		i := m.find(name, id)
		if i < 0 {
			continue
		}
		c := m.locks[name][i]
		switch {
		case c.Lost != placement.LockKept && expires:
		case i < m.held(name) && expires:
			c.Lost = placement.LockExpired
			e.SetClaim(name, c)
			m.locks[name][i] = c
		default:
			m.remove(e, name, i)
		}
	}
	e.CloseSession(id)
	delete(m.sessions, id)
}

func (m *lockModel) check(t *testing.T, v *View) {
	t.Helper()
	if got := slices.Collect(v.Sessions(0)); len(got) != len(m.sessions) || len(got) != v.SessionCount() {
		t.Fatalf("at index %d: %d sessions, want %d", v.Index, len(got), len(m.sessions))
	}
	claims := map[placement.SessionID]int{}
	names := slices.Sorted(maps.Keys(m.locks))
	all := 0
	for l := range v.Locks("") {
		if l.Name != names[0] {
			t.Fatalf("at index %d: lock %q, want %q", v.Index, l.Name, names[0])
		}
		names = names[1:]
		want := m.locks[l.Name]
		var got []placement.Claim
		for c, held := range l.Claims() {
			if one, h, ok := l.Claim(c.Token); one != c || h != held || !ok || held != (len(got) < m.held(l.Name)) {
				t.Fatalf("at index %d: claim %+v to %q holds: %t", v.Index, c, l.Name, held)
			}
			got = append(got, c)
			if _, open := m.sessions[c.Session]; open {
				claims[c.Session]++
				if of, h, ok := v.ClaimOf(c.Session, l.Name); of != c || h != held || !ok {
					t.Fatalf("at index %d: the session's claim is %+v, want %+v", v.Index, of, c)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("at index %d: the claims to %q are\n%+v, want\n%+v", v.Index, l.Name, got, want)
		}
		use := placement.LockUse{Mode: want[0].Mode, Permits: m.permits[l.Name], Held: m.held(l.Name), Waiting: len(want) - m.held(l.Name)}
		if l.Use != use {
			t.Fatalf("at index %d: the use of %q is %+v, want %+v", v.Index, l.Name, l.Use, use)
		}
		all += len(want)
	}
	if len(names) != 0 || v.LockCount() != len(m.locks) || v.ClaimCount() != all {
		t.Fatalf("at index %d: %d locks, %d claims; the locks %q are missing", v.Index, v.LockCount(), v.ClaimCount(), names)
	}
	for id, want := range m.sessions {
		s, ok := v.Session(id)
		n := 0
		for name := range v.SessionLocks(id) {
			if m.find(name, id) < 0 {
				t.Fatalf("at index %d: session %d has a claim to %q", v.Index, id, name)
			}
			n++
		}
		if !ok || s != want || n != claims[id] || n != v.SessionClaimCount(id) {
			t.Fatalf("at index %d: session %+v with %d claims, want %+v with %d", v.Index, s, n, want, claims[id])
		}
	}
}

// goldenLocksView is the view in testdata/format1-locks.berth. It must not be changed.
func goldenLocksView() *View {
	e := NewEditor(goldenView())
	for i := range placement.SessionID(5) {
		e.OpenSession(placement.Session{ID: 2000 + i, TTL: time.Duration(10+i) * time.Second, Holder: fmt.Sprintf("ci-%d/日本", i), Owner: []string{"", "pid 7"}[i%2]})
	}
	add := func(name string, permits uint32, c placement.Claim) {
		e.AddClaim(name, permits, c)
		letIn(e, name)
	}
	for i := range 40 {
		add(fmt.Sprintf("jobs/%d", i), 0, placement.Claim{Token: placement.Epoch(3000 + i), Session: placement.SessionID(2000 + i%5), Mode: placement.LockMode(1 + i%2), Delay: time.Duration(i) * time.Second})
	}
	for i := range placement.SessionID(5) {
		add("nightly", 0, placement.Claim{Token: placement.Epoch(3100 + i), Session: 2000 + i, Mode: []placement.LockMode{2, 2, 1, 2, 1}[i], Patience: time.Minute})
		add("pool", 3, placement.Claim{Token: placement.Epoch(3200 + i), Session: 2000 + i, Mode: placement.LockPermit})
	}
	l, _ := e.View().Lock("jobs/7")
	for c := range l.Holders() {
		c.Lost = placement.LockBroken
		e.SetClaim("jobs/7", c)
	}
	e.Remember(Result{Request: RequestID{9, 9}, Body: 1, Index: 69, Verdict: placement.Done, Token: 3104, Queued: true})
	e.Remember(Result{Request: RequestID{9, 8}, Body: 1, Index: 70, Verdict: placement.Done, Session: 2004})
	return e.Publish()
}

func TestDecode_GoldenLocks(t *testing.T) {
	want := goldenLocksView()
	testGolden(t, "testdata/format1-locks.berth", want)
	got := recode(t, want)
	for l := range want.Locks("") {
		other, ok := got.Lock(l.Name)
		if a, b := slices.Collect(maps.Keys(maps.Collect(l.Claims()))), slices.Collect(maps.Keys(maps.Collect(other.Claims()))); !ok || len(a) != len(b) || other.Use != l.Use {
			t.Errorf("lock %q comes back with %d claims, %+v; want %d, %+v", l.Name, len(b), other.Use, len(a), l.Use)
		}
	}
	if r := NewEditor(got).Recall(RequestID{9, 9}); r == nil || r.Token != 3104 || !r.Queued {
		t.Errorf("the answer of then: %+v", r)
	}
	if r := NewEditor(got).Recall(RequestID{9, 8}); r == nil || r.Session != 2004 {
		t.Errorf("the answer of then: %+v", r)
	}
}

// Every fact about sessions and locks is in the digest, as it is carried and as it is computed anew.
func TestDigest_SessionsAndLocks_EveryFactCounts(t *testing.T) {
	base := func(session placement.Session, permits uint32, claims ...placement.Claim) *View {
		e := NewEditor(goldenView())
		e.OpenSession(session)
		e.OpenSession(placement.Session{ID: 12, TTL: time.Hour, Holder: "other"})
		for _, c := range claims {
			e.AddClaim("nightly", permits, c)
			letIn(e, "nightly")
		}
		return e.Publish()
	}
	s := placement.Session{ID: 11, TTL: time.Second, Holder: "h", Owner: "o"}
	c := placement.Claim{Token: 20, Session: 11, Mode: placement.LockShared}
	seen := map[Digest]string{}
	for name, v := range map[string]*View{
		"none":     goldenView(),
		"a claim":  base(s, 0, c),
		"no claim": base(s, 0),
		"ttl":      base(placement.Session{ID: 11, TTL: 2 * time.Second, Holder: "h", Owner: "o"}, 0, c),
		"holder":   base(placement.Session{ID: 11, TTL: time.Second, Holder: "i", Owner: "o"}, 0, c),
		"owner":    base(placement.Session{ID: 11, TTL: time.Second, Holder: "h", Owner: ""}, 0, c),
		"token":    base(s, 0, placement.Claim{Token: 21, Session: 11, Mode: placement.LockShared}),
		"session":  base(s, 0, placement.Claim{Token: 20, Session: 12, Mode: placement.LockShared}),
		"mode":     base(s, 0, placement.Claim{Token: 20, Session: 11, Mode: placement.LockExclusive}),
		"delay":    base(s, 0, placement.Claim{Token: 20, Session: 11, Mode: placement.LockShared, Delay: 1}),
		"patience": base(s, 0, placement.Claim{Token: 20, Session: 11, Mode: placement.LockShared, Patience: 1}),
		"permits":  base(s, 5, placement.Claim{Token: 20, Session: 11, Mode: placement.LockPermit}),
		"permits6": base(s, 6, placement.Claim{Token: 20, Session: 11, Mode: placement.LockPermit}),
		"queue":    base(s, 0, c, placement.Claim{Token: 22, Session: 12, Mode: placement.LockExclusive}),
		"granted":  base(s, 0, c, placement.Claim{Token: 22, Session: 12, Mode: placement.LockShared}),
	} {
		d := v.Digest()
		if other, ok := seen[d]; ok || d != v.RecomputeDigest() {
			t.Errorf("%s has digest %v, anew %v; that is of %q", name, d, v.RecomputeDigest(), other)
		}
		seen[d] = name
	}
	broken := base(s, 0, c)
	broken.tables.sessions.edit(broken.tables.gen, 11).claims = tree[string, placement.Epoch]{}
	if broken.Digest() == broken.RecomputeDigest() {
		t.Error("a session that lost sight of its claim goes unseen")
	}
	broken = base(s, 0, c)
	broken.tables.locks.edit(broken.tables.gen, "nightly").held = 0
	if broken.Digest() != broken.RecomputeDigest() { // held is carried in the share of the lock, and counted anew
		t.Error("the count itself is no fact")
	}
	broken.tables.locks.edit(broken.tables.gen, "nightly").granted = 0
	if broken.Digest() == broken.RecomputeDigest() {
		t.Error("a lock that forgot who holds it goes unseen")
	}
}

// An editor of a view writes to nothing that the view holds, also when the one before it changed nothing but locks.
func TestNewEditor_OfLocksAlone_LeavesTheViewAsItWas(t *testing.T) {
	e := NewEditor(Empty())
	var views []*View
	for i := range placement.SessionID(200) {
		e.OpenSession(placement.Session{ID: i + 1, TTL: time.Second, Holder: "h"})
		e.AddClaim("one", 0, placement.Claim{Token: placement.Epoch(i + 1), Session: i + 1, Mode: placement.LockExclusive})
		letIn(e, "one")
		if i%10 == 9 {
			views = append(views, e.Publish())
			e = NewEditor(views[len(views)-1])
		}
	}
	for i, v := range views {
		if n := len(slices.Collect(v.Sessions(0))); n != 10*(i+1) || n != v.SessionCount() || v.Digest() != v.RecomputeDigest() {
			t.Fatalf("view %d has %d sessions", i, n)
		}
	}
}

// Files of locks that no editor wrote are refused.
func TestDecode_LocksThatMakeNoSense_AreRefused(t *testing.T) {
	session := func(id uint64) *snapshotpb.Session {
		return &snapshotpb.Session{Id: id, TtlNs: uint64(time.Minute), Holder: "h"}
	}
	claim := func(token, session uint64, mode uint32) *snapshotpb.Claim {
		return &snapshotpb.Claim{Token: token, Session: session, Mode: mode}
	}
	lock := func(name string, permits uint32, granted uint64, claims ...*snapshotpb.Claim) *snapshotpb.Lock {
		return &snapshotpb.Lock{Name: name, Permits: permits, Granted: granted, Claims: claims}
	}
	lost := func(c *snapshotpb.Claim, how uint32) *snapshotpb.Claim { c.Lost = how; return c }
	three := []*snapshotpb.Session{session(1), session(2), session(3)}
	for _, tt := range []struct {
		name     string
		sessions []*snapshotpb.Session
		locks    []*snapshotpb.Lock
		want     string // in the error
	}{
		{"whole", three, []*snapshotpb.Lock{lock("a", 0, 5, claim(5, 1, 1), claim(6, 2, 2), claim(7, 3, 1))}, "digest"}, // but for the header
		{"session without a name", []*snapshotpb.Session{{Id: 1, TtlNs: uint64(time.Minute)}}, nil, "session is not valid"},
		{"session of a year", []*snapshotpb.Session{{Id: 1, TtlNs: 1 << 63, Holder: "h"}}, nil, "session is not valid"},
		{"session longer than any", []*snapshotpb.Session{{Id: 1, TtlNs: uint64(2 * time.Minute), Holder: "h"}}, nil, "longer TTL"},
		{"session zero", []*snapshotpb.Session{session(0)}, nil, "not in order"},
		{"session twice", []*snapshotpb.Session{session(1), session(1)}, nil, "not in order"},
		{"name", three, []*snapshotpb.Lock{lock("a\n", 0, 5, claim(5, 1, 1))}, "lock is not valid"},
		{"lock twice", three, []*snapshotpb.Lock{lock("a", 0, 5, claim(5, 1, 1)), lock("a", 0, 6, claim(6, 2, 1))}, "not in order"},
		{"no claims", three, []*snapshotpb.Lock{lock("a", 0, 5)}, "no claims"},
		{"claims out of order", three, []*snapshotpb.Lock{lock("a", 0, 9, claim(5, 1, 2), claim(5, 2, 2))}, "not in order"},
		{"token zero", three, []*snapshotpb.Lock{lock("a", 0, 9, claim(0, 1, 2))}, "not in order"},
		{"mode", three, []*snapshotpb.Lock{lock("a", 0, 5, claim(5, 1, 9))}, "not valid"},
		{"semaphore without permits", three, []*snapshotpb.Lock{lock("a", 0, 5, claim(5, 1, 3))}, "not valid"},
		{"semaphore and more", three, []*snapshotpb.Lock{lock("a", 2, 5, claim(5, 1, 3), claim(6, 2, 1))}, "do not fit"},
		{"nobody's", three, []*snapshotpb.Lock{lock("a", 0, 5, claim(5, 4, 1))}, "not open"},
		{"of no session", three, []*snapshotpb.Lock{lock("a", 0, 5, lost(claim(5, 0, 1), 1))}, "no sense"},
		{"two of one session", three, []*snapshotpb.Lock{lock("a", 0, 9, claim(5, 1, 2), claim(6, 1, 2))}, "two claims"},
		{"lost while it waits", three, []*snapshotpb.Lock{lock("a", 0, 5, claim(5, 1, 1), lost(claim(6, 2, 1), 2))}, "no sense"},
		{"lost in a new way", three, []*snapshotpb.Lock{lock("a", 0, 5, lost(claim(5, 1, 1), 3))}, "no sense"},
		{"two exclusive holders", three, []*snapshotpb.Lock{lock("a", 0, 6, claim(5, 1, 1), claim(6, 2, 1))}, "exclude each other"},
		{"shared with exclusive", three, []*snapshotpb.Lock{lock("a", 0, 6, claim(5, 1, 2), claim(6, 2, 1))}, "exclude each other"},
		{"too many permits", three, []*snapshotpb.Lock{lock("a", 1, 6, claim(5, 1, 3), claim(6, 2, 3))}, "exclude each other"},
		{"nobody holds it", three, []*snapshotpb.Lock{lock("a", 0, 4, claim(5, 1, 1))}, "free for a claim"},
		{"one more could", three, []*snapshotpb.Lock{lock("a", 2, 5, claim(5, 1, 3), claim(6, 2, 3))}, "free for a claim"},
	} {
		var b bytes.Buffer
		w, err := newFrameWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		frames := []error{w.message(frameHeader, &snapshotpb.Header{Cluster: &snapshotpb.Cluster{MaxSessionTtlNs: uint64(time.Minute)}})}
		frames = append(frames, w.message(frameSessions, &snapshotpb.Sessions{Sessions: tt.sessions}))
		if tt.locks != nil {
			frames = append(frames, w.message(frameLocks, &snapshotpb.Locks{Locks: tt.locks}))
		}
		if err := errors.Join(append(frames, w.end())...); err != nil {
			t.Fatal(err)
		}
		var c *CorruptError
		if _, err := Decode(&b); !errors.As(err, &c) || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 300 {
			t.Errorf("%s: %v, want a CorruptError about %q", tt.name, err, tt.want)
		}
	}
}

// A lock with as many claims as there may be fits a file.
func TestEncode_LargestLock_ComesBack(t *testing.T) {
	e := newTestEditor()
	for i := range LockClaimsMax {
		id := placement.SessionID(1)<<62 + placement.SessionID(i)
		e.OpenSession(placement.Session{ID: id, TTL: placement.SessionTTLMax, Holder: "h"})
		e.AddClaim(strings.Repeat("n", placement.LockNameBytesMax), 0, placement.Claim{
			Token: placement.Epoch(id), Session: id, Mode: placement.LockExclusive, Delay: placement.LockDelayMax, Patience: placement.LockPatienceMax,
		})
		if i == 0 {
			letIn(e, strings.Repeat("n", placement.LockNameBytesMax))
		}
	}
	v := recode(t, e.Publish())
	if v.ClaimCount() != LockClaimsMax || v.SessionCount() != LockClaimsMax {
		t.Errorf("%d claims of %d sessions come back", v.ClaimCount(), v.SessionCount())
	}
}

// What DiffLocks says, done to the one view, gives the holders of the other.
func TestDiffLocks_GivesTheOtherView(t *testing.T) {
	holders := func(v *View) map[string]string {
		m := map[string]string{}
		for l := range v.Locks("") {
			for c := range l.Holders() {
				m[l.Name] += fmt.Sprint(c.Token, " ")
			}
		}
		return m
	}
	seen := map[LockChangeType]int{}
	for seed := range uint64(10) {
		var views []*View
		run(t, seed, nil, func(v *View) { views = append(views, v) })
		for i := 0; i < len(views); i += 40 {
			for j := 0; j < len(views); j += 55 {
				state, want := holders(views[i]), holders(views[j])
				last := ""
				for c := range DiffLocks(views[i], views[j]) {
					if c.From.Name != c.To.Name || c.From.Name <= last {
						t.Fatalf("%q and %q after %q", c.From.Name, c.To.Name, last)
					}
					last = c.From.Name
					seen[c.Type]++
					if _, was := state[last]; was != (c.Type != LockGranted) || state[last] == want[last] {
						t.Errorf("%v of %q, held by %q before and by %q after", c.Type, last, state[last], want[last])
					}
					if delete(state, last); c.Type != LockReleased {
						state[last] = want[last]
					}
				}
				if !maps.Equal(state, want) {
					t.Fatalf("seed %d, from view %d to %d: %v, want %v", seed, i, j, state, want)
				}
			}
		}
	}
	for c := LockGranted; c <= LockMoved; c++ {
		if seen[c] == 0 || c.String() == "unknown" {
			t.Errorf("no history had a change of type %v", c)
		}
	}
	for range DiffLocks(Empty(), goldenLocksView()) {
		break
	}
}
