package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// lockTable is a lock in one state, and three sessions: a has the claim that the commands speak of, b is another, and gone
// is none.
type lockTable struct {
	*applier
	a, b, gone placement.SessionID
	tokens     map[placement.SessionID]placement.Epoch
}

const tableLock = "nightly"

// lockStates are the states of a lock as session a sees them.
var lockStates = []string{"free", "held", "held, b waits", "held by b", "waits", "waits behind a shared one", "broken", "expired"}

func newLockTable(t *testing.T, state string) *lockTable {
	t.Helper()
	l := &lockTable{applier: newApplier(t), gone: 7, tokens: map[placement.SessionID]placement.Epoch{}}
	open := func() placement.SessionID {
		return l.one(Command{Body: &OpenSession{placement.Session{TTL: 10 * time.Second, Holder: "h"}}}).Session
	}
	l.a, l.b = open(), open()
	switch state {
	case "held":
		l.claim(l.a, placement.LockExclusive)
	case "held, b waits":
		l.claim(l.a, placement.LockExclusive)
		l.claim(l.b, placement.LockExclusive)
	case "held by b":
		l.claim(l.b, placement.LockExclusive)
	case "waits":
		l.claim(l.b, placement.LockExclusive)
		l.claim(l.a, placement.LockExclusive)
	case "waits behind a shared one":
		l.claim(l.b, placement.LockShared)
		l.claim(l.a, placement.LockExclusive)
	case "broken":
		l.claim(l.a, placement.LockExclusive)
		l.one(Command{Body: &BreakLock{Name: tableLock}})
	case "expired":
		l.claim(l.a, placement.LockExclusive)
		l.one(Command{Body: &ExpireSession{l.a}})
	}
	return l
}

func (l *lockTable) claim(id placement.SessionID, mode placement.LockMode) {
	l.tokens[id] = l.one(Command{Body: &AcquireLock{Name: tableLock, Session: id, Mode: mode, Wait: true, Delay: time.Second}}).Token
}

// text is the lock in words: its claims in their order, those that hold it before the bar.
func (l *lockTable) text() string {
	v := l.m.Publish()
	if v.Digest() != v.RecomputeDigest() {
		l.t.Error("the digest is off")
	}
	lock, _ := v.Lock(tableLock)
	var words []string
	bar := false
	for c, held := range lock.Claims() {
		if !held && !bar {
			words, bar = append(words, "|"), true
		}
		word := map[placement.SessionID]string{l.a: "a", l.b: "b"}[c.Session]
		if c.Lost != placement.LockKept {
			word += ":" + c.Lost.String()
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// Every state of a lock with every command about it: the verdict, and the claims that follow.
func TestLocks_EveryStateAndCommand(t *testing.T) {
	const x, s, p = placement.LockExclusive, placement.LockShared, placement.LockPermit
	commands := []struct {
		name string
		body func(*lockTable) Body
	}{
		{"acquire", func(l *lockTable) Body { return &AcquireLock{Name: tableLock, Session: l.a, Mode: x} }},
		{"acquire, wait", func(l *lockTable) Body { return &AcquireLock{Name: tableLock, Session: l.a, Mode: x, Wait: true} }},
		{"acquire shared, wait", func(l *lockTable) Body { return &AcquireLock{Name: tableLock, Session: l.a, Mode: s, Wait: true} }},
		{"acquire a permit", func(l *lockTable) Body {
			return &AcquireLock{Name: tableLock, Session: l.a, Mode: p, Permits: 2, Wait: true}
		}},
		{"acquire, gone", func(l *lockTable) Body { return &AcquireLock{Name: tableLock, Session: l.gone, Mode: x, Wait: true} }},
		{"release", func(l *lockTable) Body { return &ReleaseLock{Name: tableLock, Session: l.a} }},
		{"release by token", func(l *lockTable) Body { return &ReleaseLock{Name: tableLock, Session: l.a, Token: l.token()} }},
		{"release by another token", func(l *lockTable) Body { return &ReleaseLock{Name: tableLock, Session: l.a, Token: 1} }},
		{"withdraw", func(l *lockTable) Body { return &ReleaseLock{Name: tableLock, Session: l.a, WaitingAlone: true} }},
		{"break", func(*lockTable) Body { return &BreakLock{Name: tableLock} }},
		{"break by token", func(l *lockTable) Body { return &BreakLock{tableLock, l.token()} }},
		{"end delay", func(l *lockTable) Body { return &EndLockDelay{tableLock, l.token()} }},
		{"close", func(l *lockTable) Body { return &CloseSession{l.a} }},
		{"expire", func(l *lockTable) Body { return &ExpireSession{l.a} }},
		{"open", func(*lockTable) Body { return &OpenSession{placement.Session{TTL: time.Second, Holder: "h"}} }},
	}
	// In the order of lockStates: the verdict, then the claims.
	want := map[string][]string{
		"acquire": {"done: a", "already: a", "already: a | b", "lock held: b", "already: b | a", "already: b | a", "lock lost: a:broken", "session gone: a:expired"},
		"acquire, wait": {
			"done: a", "already: a", "already: a | b", "done: b | a", "already: b | a", "already: b | a", "lock lost: a:broken", "session gone: a:expired",
		},
		"acquire shared, wait": {
			"done: a", "lock mismatch: a", "lock mismatch: a | b", "done: b | a", "lock mismatch: b | a", "lock mismatch: b | a", "lock lost: a:broken", "session gone: a:expired",
		},
		"acquire a permit": {
			"done: a", "lock mismatch: a", "lock mismatch: a | b", "lock mismatch: b", "lock mismatch: b | a", "lock mismatch: b | a", "lock lost: a:broken", "session gone: a:expired",
		},
		"acquire, gone": {
			"session gone: ", "session gone: a", "session gone: a | b", "session gone: b", "session gone: b | a", "session gone: b | a", "session gone: a:broken", "session gone: a:expired",
		},
		"release":          {"lock not found: ", "done: ", "done: b", "not holder: b", "done: b", "done: b", "done: ", "not holder: a:expired"},
		"release by token": {"lock not found: ", "done: ", "done: b", "not holder: b", "done: b", "done: b", "done: ", "not holder: a:expired"},
		"release by another token": {
			"lock not found: ", "not holder: a", "not holder: a | b", "not holder: b", "not holder: b | a", "not holder: b | a", "not holder: a:broken", "not holder: a:expired",
		},
		"withdraw": {
			"lock not found: ", "lock granted: a", "lock granted: a | b", "not holder: b", "done: b", "done: b", "lock granted: a:broken", "not holder: a:expired",
		},
		"break": {
			"lock not found: ", "done: a:broken", "done: a:broken | b", "done: b:broken", "done: b:broken | a", "done: b:broken | a", "already: a:broken", "already: a:expired",
		},
		"break by token": {
			"lock not found: ", "done: a:broken", "done: a:broken | b", "not holder: b", "done: b", "done: b", "already: a:broken", "already: a:expired",
		},
		"end delay": {"lock not found: ", "lock granted: a", "lock granted: a | b", "not holder: b", "lock granted: b | a", "lock granted: b | a", "done: ", "done: "},
		"close":     {"done: ", "done: ", "done: b", "done: b", "done: b", "done: b", "done: ", "session gone: a:expired"},
		"expire":    {"done: ", "done: a:expired", "done: a:expired | b", "done: b", "done: b", "done: b", "done: a:broken", "session gone: a:expired"},
		"open":      {"done: ", "done: a", "done: a | b", "done: b", "done: b | a", "done: b | a", "done: a:broken", "done: a:expired"},
	}
	tested := map[op]bool{}
	for _, c := range commands {
		if len(want[c.name]) != len(lockStates) {
			t.Fatalf("%s has %d rows, want %d", c.name, len(want[c.name]), len(lockStates))
		}
		for i, state := range lockStates {
			l := newLockTable(t, state)
			body := c.body(l)
			tested[body.op()] = true
			before := l.text()
			r := l.one(Command{Body: body})
			after := l.text()
			if got := fmt.Sprintf("%v: %s", r.Verdict, after); got != want[c.name][i] {
				t.Errorf("%s, %s: %q, want %q", state, c.name, got, want[c.name][i])
			}
			if r.Verdict != placement.Done && before != after {
				t.Errorf("%s, %s: %v changed %q to %q", state, c.name, r.Verdict, before, after)
			}
		}
	}
	for o := opOpenSession; o <= opEndLockDelay; o++ {
		if known := isCommand(o); known != tested[o] {
			t.Errorf("command %d is known: %t, and in the table: %t", o, known, tested[o])
		}
	}
}

// token is that of a's claim; one that never was when it has none.
func (l *lockTable) token() placement.Epoch { return max(1, l.tokens[l.a]) }

// isCommand says whether the machine knows a command.
func isCommand(o op) bool {
	_, err := New(snapshot.Empty()).dispatch(&command{op: o})
	return err == nil
}

// Over random logs: the claims that hold a lock go together, nobody waits who could hold it, nobody overtakes, and each
// lock's tokens grow with each claim that is let in.
func TestLocks_RandomLogs_HoldersGoTogetherAndTokensGrow(t *testing.T) {
	grants, losses := 0, 0
	for seed := range uint64(8) {
		m := New(snapshot.Empty())
		m.Observed = true
		newest := map[string]placement.Epoch{}
		for _, l := range randomLog(t, seed, 1500) {
			out, err := m.Apply(l.index, l.term, l.data)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out.Changes {
				switch c.Type {
				case LockGranted:
					if c.Lock.Claim.Token <= newest[c.Lock.Name] {
						t.Fatalf("seed %d, index %d: %s is granted under %#x after %#x", seed, l.index, c.Lock.Name, c.Lock.Claim.Token, newest[c.Lock.Name])
					}
					newest[c.Lock.Name] = c.Lock.Claim.Token
					grants++
				case LockLost:
					losses++
				}
			}
			for lock := range m.Publish().Locks("") {
				checkLock(t, m.Publish(), lock)
			}
		}
	}
	if grants < 500 || losses < 50 {
		t.Errorf("only %d locks were granted and %d lost", grants, losses)
	}
}

func checkLock(t *testing.T, v *snapshot.View, lock snapshot.Lock) {
	t.Helper()
	var modes []placement.LockMode
	waits := false
	for c, held := range lock.Claims() {
		if held && waits {
			t.Fatalf("%s: claim %#x overtook one that waits", lock.Name, c.Token)
		}
		waits = !held
		if held {
			modes = append(modes, c.Mode)
		}
		if _, open := v.Session(c.Session); !open && c.Lost == placement.LockKept {
			t.Fatalf("%s: claim %+v is of a session that is over", lock.Name, c)
		}
	}
	switch {
	case len(modes) == 0:
		t.Fatalf("%s: nobody holds it", lock.Name)
	case lock.Use.Permits > 0 && len(modes) > int(lock.Use.Permits), slices.Contains(modes, placement.LockExclusive) && len(modes) > 1:
		t.Fatalf("%s: it is held by %v", lock.Name, modes)
	}
	if next, ok := lock.Next(); ok && lock.Use.Admits(next.Mode) {
		t.Fatalf("%s: held by %v, and a %v claim waits", lock.Name, modes, next.Mode)
	}
}

// Ten thousand claims wait for one lock: each is granted by the entry that frees it, in the order in which they came.
func TestLocks_TenThousandWaiters_FirstComeFirstServed(t *testing.T) {
	const n = 10_000
	a := newApplier(t)
	var opens, acquires []Command
	for range n {
		opens = append(opens, Command{Body: &OpenSession{placement.Session{TTL: time.Second, Holder: "h"}}})
	}
	var ids []placement.SessionID
	for _, r := range a.all(opens) {
		ids = append(ids, r.Session)
		acquires = append(acquires, Command{Body: &AcquireLock{Name: "one", Session: r.Session, Mode: placement.LockExclusive, Wait: true}})
	}
	tokens := a.all(acquires)
	a.m = New(recode(t, a.m.Publish()))
	a.m.Observed = true
	for i := range n {
		lock, _ := a.m.Publish().Lock("one")
		c, held, _ := a.m.Publish().ClaimOf(ids[i], "one")
		if !held || c.Token != tokens[i].Token || lock.Use.Held != 1 || lock.Use.Waiting != n-1-i {
			t.Fatalf("claim %d: %+v holds it: %t, of %+v", i, c, held, lock.Use)
		}
		if r := a.one(Command{Body: &ReleaseLock{Name: "one", Session: ids[i]}}); r.Verdict != placement.Done {
			t.Fatalf("release %d: %v", i, r.Verdict)
		}
	}
	if v := a.m.Publish(); v.LockCount() != 0 || v.ClaimCount() != 0 || v.Digest() != v.RecomputeDigest() {
		t.Errorf("%d locks and %d claims are left", v.LockCount(), v.ClaimCount())
	}
}

// The limits of one session and of one lock.
func TestLocks_LimitsAreReached_ClaimsAreRefused(t *testing.T) {
	a := newApplier(t)
	open := Command{Body: &OpenSession{placement.Session{TTL: time.Second, Holder: "h"}}}
	id := a.one(open).Session
	var many []Command
	for i := range snapshot.SessionClaimsMax {
		many = append(many, Command{Body: &AcquireLock{Name: fmt.Sprint(i), Session: id, Mode: placement.LockShared}})
	}
	for _, r := range a.all(many) {
		if r.Verdict != placement.Done {
			t.Fatal(r.Verdict)
		}
	}
	more := Command{Body: &AcquireLock{Name: "more", Session: id, Mode: placement.LockShared}}
	if r := a.one(more); r.Verdict != placement.LimitReached {
		t.Errorf("one lock too many for a session: %v", r.Verdict)
	}
	a.one(Command{Body: &ReleaseLock{Name: "7", Session: id}})
	if r := a.one(more); r.Verdict != placement.Done {
		t.Errorf("when there is room: %v", r.Verdict)
	}
	var opens, claims []Command
	for range snapshot.LockClaimsMax {
		opens = append(opens, open)
	}
	for _, r := range a.all(opens) {
		claims = append(claims, Command{Body: &AcquireLock{Name: "one", Session: r.Session, Mode: placement.LockPermit, Permits: 2, Wait: true}})
	}
	a.all(claims)
	last := Command{Body: &AcquireLock{Name: "one", Session: a.one(open).Session, Mode: placement.LockPermit, Permits: 2, Wait: true}}
	if r := a.one(last); r.Verdict != placement.LimitReached {
		t.Errorf("one claim too many for a lock: %v", r.Verdict)
	}
	a.one(Command{Body: &BreakLock{"one", 0}})
	if r := a.one(last); r.Verdict != placement.LimitReached {
		t.Errorf("what is broken keeps its place: %v", r.Verdict)
	}
	a.one(Command{Body: &CloseSession{claims[0].Body.(*AcquireLock).Session}})
	if r := a.one(last); r.Verdict != placement.Done || !r.Queued {
		t.Errorf("when there is room: %v", r.Verdict)
	}
}

// The limits of the whole tables.
func TestLocks_TablesAreFull_AreRefused(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(1, 1)
	e.SetCluster(snapshot.Cluster{ID: "C", Seed: 1, FeatureLevel: 1})
	for i := range snapshot.SessionsMax {
		e.OpenSession(placement.Session{ID: placement.SessionID(i + 1), TTL: time.Second, Holder: "h"})
	}
	for i := range snapshot.ClaimsMax {
		c := placement.Claim{Token: placement.Epoch(i + 1), Session: placement.SessionID(i%1000 + 1), Mode: placement.LockExclusive}
		name := fmt.Sprint("lock-", i)
		e.AddClaim(name, 0, c)
		e.Grant(name)
	}
	a := &applier{t: t, m: New(e.Publish()), index: 1 << 30}
	open := Command{Body: &OpenSession{placement.Session{TTL: time.Second, Holder: "h"}}}
	acquire := Command{Body: &AcquireLock{Name: "more", Session: 5000, Mode: placement.LockExclusive}}
	if r := a.one(open); r.Verdict != placement.LimitReached {
		t.Errorf("one session too many: %v", r.Verdict)
	}
	if r := a.one(acquire); r.Verdict != placement.LimitReached {
		t.Errorf("one claim too many: %v", r.Verdict)
	}
	begin := time.Now()
	a.one(Command{Body: &CloseSession{7}})
	t.Logf("the end of a session with 1,000 locks took %v", time.Since(begin))
	if r := a.one(open); r.Verdict != placement.Done {
		t.Errorf("a session, when there is room: %v", r.Verdict)
	}
	if r := a.one(acquire); r.Verdict != placement.Done {
		t.Errorf("a claim, when there is room: %v", r.Verdict)
	}
}

// A restored cluster has no locks, unless told otherwise; then sessions and claims are as they were, and every token that
// it gives is larger.
func TestRestore_Locks_AreClearedOrKept(t *testing.T) {
	for seed := range uint64(4) {
		log := randomLog(t, seed, 1200)
		m := New(snapshot.Empty())
		epochsOf(t, m, "C", log[:900])
		file := m.Publish()
		if file.LockCount() == 0 || file.SessionCount() == 0 {
			t.Fatalf("seed %d: there is no lock", seed)
		}
		cleared, err := Restore(file, "D", 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if cleared.SessionCount() != 0 || cleared.LockCount() != 0 || cleared.ClaimCount() != 0 || cleared.Digest() != cleared.RecomputeDigest() {
			t.Errorf("seed %d: %d sessions and %d locks are left", seed, cleared.SessionCount(), cleared.LockCount())
		}
		kept, err := Restore(file, "D", 0, true)
		if err != nil {
			t.Fatal(err)
		}
		if kept.SessionCount() != file.SessionCount() || kept.LockCount() != file.LockCount() || kept.Digest() != kept.RecomputeDigest() {
			t.Errorf("seed %d: %d sessions and %d locks are kept, want %d and %d", seed, kept.SessionCount(), kept.LockCount(), file.SessionCount(), file.LockCount())
		}
		for c := range snapshot.DiffLocks(file, kept) {
			t.Errorf("seed %d: %q changed: %v", seed, c.From.Name, c.Type)
		}
		var oldest placement.Epoch
		for l := range file.Locks("") {
			for c := range l.Claims() {
				oldest = max(oldest, c.Token)
			}
		}
		k := New(recode(t, kept))
		k.Observed = true
		given := 0
		for _, l := range log[900:] {
			var e entry
			if err := decodeEntry(l.data, &e); err != nil {
				t.Fatal(err)
			}
			if e.start != nil {
				s := *e.start
				s.ClusterID = "D"
				l.data = EncodeStart(s)
			}
			out, err := k.Apply(l.index, l.term, l.data)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out.Changes {
				if c.Type == LockQueued && c.Lock.Claim.Token <= oldest {
					t.Errorf("seed %d: token %#x after %#x", seed, c.Lock.Claim.Token, oldest)
				}
				given++
			}
		}
		if given == 0 {
			t.Errorf("seed %d: nothing happened", seed)
		}
	}
}

// What a published view says of locks stays so, also when the bytes of the entries are used again.
func TestMachine_PublishedViews_KeepTheirLocks(t *testing.T) {
	m := New(snapshot.Empty())
	type kept struct {
		v      *snapshot.View
		digest snapshot.Digest
	}
	var past []kept
	for i, l := range randomLog(t, 3, 800) {
		if _, err := m.Apply(l.index, l.term, l.data); err != nil {
			t.Fatal(err)
		}
		clear(l.data)
		v := m.Publish()
		past = append(past, kept{v, v.Digest()})
		if i%50 == 0 {
			m = New(v) // another editor of the same view
		}
	}
	for _, k := range past {
		if k.v.Digest() != k.digest || k.v.RecomputeDigest() != k.digest {
			t.Fatalf("the view of index %d changed", k.v.Index)
		}
	}
}
