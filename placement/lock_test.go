package placement

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Who may have to do with a lock, by how it is used: each mode, when it waits for nobody and when others wait.
func TestLockUse(t *testing.T) {
	use := func(mode LockMode, permits uint32, held, waiting int) LockUse {
		return LockUse{Mode: mode, Permits: permits, Held: held, Waiting: waiting}
	}
	const x, s, p = LockExclusive, LockShared, LockPermit
	for _, tt := range []struct {
		name          string
		use           LockUse
		mode          LockMode
		permits       uint32
		fits          bool
		admits, first bool // behind nobody who waits, and at once
	}{
		{"free, exclusive", LockUse{}, x, 0, true, true, true},
		{"free, shared", LockUse{}, s, 0, true, true, true},
		{"free, semaphore", LockUse{}, p, 3, true, true, true},
		{"exclusive, exclusive", use(x, 0, 1, 0), x, 0, true, false, false},
		{"exclusive, shared", use(x, 0, 1, 0), s, 0, true, false, false},
		{"exclusive, semaphore", use(x, 0, 1, 0), p, 3, false, false, false},
		{"shared, exclusive", use(s, 0, 2, 0), x, 0, true, false, false},
		{"shared, shared", use(s, 0, 2, 0), s, 0, true, true, true},
		{"shared, shared behind one that waits", use(s, 0, 2, 1), s, 0, true, true, false},
		{"shared, semaphore", use(s, 0, 1, 0), p, 3, false, false, false},
		{"semaphore with room", use(p, 3, 2, 0), p, 3, true, true, true},
		{"semaphore with room, behind one that waits", use(p, 3, 2, 1), p, 3, true, true, false},
		{"semaphore without room", use(p, 3, 3, 0), p, 3, true, false, false},
		{"semaphore, another size", use(p, 3, 2, 0), p, 4, false, true, true},
		{"semaphore, exclusive", use(p, 3, 2, 0), x, 0, false, false, false},
		{"semaphore, shared", use(p, 3, 2, 0), s, 0, false, false, false},
	} {
		if got := tt.use.Fits(tt.mode, tt.permits); got != tt.fits {
			t.Errorf("%s: it fits: %t", tt.name, got)
		}
		if !tt.fits {
			continue
		}
		if got := tt.use.Admits(tt.mode); got != tt.admits {
			t.Errorf("%s: admitted: %t", tt.name, got)
		}
		if got := tt.use.AdmitsAtOnce(tt.mode); got != tt.first {
			t.Errorf("%s: admitted at once: %t", tt.name, got)
		}
	}
}

// What is lost keeps its place for its delay; what is broken at least as long as its session may believe in it.
func TestClaim_Lose(t *testing.T) {
	const ttl = 10 * time.Second
	for _, tt := range []struct {
		name  string
		delay time.Duration
		was   LockLoss
		how   LockLoss
		want  Claim
		keeps bool
	}{
		{"expired, no delay", 0, LockKept, LockExpired, Claim{Lost: LockExpired}, false},
		{"expired", 3 * time.Second, LockKept, LockExpired, Claim{Lost: LockExpired, Delay: 3 * time.Second}, true},
		{"broken, no delay", 0, LockKept, LockBroken, Claim{Lost: LockBroken, Delay: ttl}, true},
		{"broken, a longer delay", time.Minute, LockKept, LockBroken, Claim{Lost: LockBroken, Delay: time.Minute}, true},
		{"expired after it was broken", ttl, LockBroken, LockExpired, Claim{Lost: LockBroken, Delay: ttl}, true},
	} {
		got, keeps := Claim{Delay: tt.delay, Lost: tt.was}.Lose(tt.how, ttl)
		if got != tt.want || keeps != tt.keeps {
			t.Errorf("%s: %+v, %t; want %+v, %t", tt.name, got, keeps, tt.want, tt.keeps)
		}
	}
}

func TestClaim_Validate(t *testing.T) {
	for _, tt := range []struct {
		claim   Claim
		permits uint32
		field   string // empty when it is valid
	}{
		{Claim{Mode: LockExclusive}, 0, ""}, {Claim{Mode: LockShared, Delay: LockDelayMax, Patience: LockPatienceMax}, 0, ""},
		{Claim{Mode: LockPermit}, 1, ""}, {Claim{Mode: LockPermit}, PermitsMax, ""},
		{Claim{}, 0, "mode"}, {Claim{Mode: 4}, 0, "mode"}, {Claim{Mode: 255}, 0, "mode"},
		{Claim{Mode: LockPermit}, 0, "permits"}, {Claim{Mode: LockPermit}, PermitsMax + 1, "permits"}, {Claim{Mode: LockExclusive}, 1, "permits"},
		{Claim{Mode: LockShared, Delay: -1}, 0, "delay"}, {Claim{Mode: LockShared, Delay: LockDelayMax + 1}, 0, "delay"},
		{Claim{Mode: LockShared, Patience: -1}, 0, "patience"}, {Claim{Mode: LockShared, Patience: LockPatienceMax + 1}, 0, "patience"},
	} {
		err := tt.claim.Validate(tt.permits)
		var e *LockError
		if got := errors.As(err, &e); got != (tt.field != "") || got && e.Field != tt.field {
			t.Errorf("%+v of %d permits: %v, want a fault in %q", tt.claim, tt.permits, err, tt.field)
		}
	}
}

func TestSession_Validate(t *testing.T) {
	valid := Session{TTL: 30 * time.Second, Holder: "ci-7 über alles"}
	for _, tt := range []struct {
		change func(*Session)
		field  string // empty when it is valid
	}{
		{func(*Session) {}, ""}, {func(s *Session) { s.TTL = SessionTTLMin }, ""}, {func(s *Session) { s.TTL = SessionTTLMax }, ""},
		{func(s *Session) { s.Holder = strings.Repeat("h", SessionHolderBytesMax) }, ""}, {func(s *Session) { s.Owner = "pid 7 on a" }, ""},
		{func(s *Session) { s.TTL = 0 }, "ttl"}, {func(s *Session) { s.TTL = SessionTTLMin - 1 }, "ttl"}, {func(s *Session) { s.TTL = -time.Hour }, "ttl"},
		{func(s *Session) { s.TTL = 365 * 24 * time.Hour }, "ttl"}, {func(s *Session) { s.Holder = "" }, "holder"},
		{func(s *Session) { s.Holder = strings.Repeat("h", SessionHolderBytesMax+1) }, "holder"}, {func(s *Session) { s.Holder = "a\x1bb" }, "holder"},
		{func(s *Session) { s.Owner = "a\xff" }, "owner"}, {func(s *Session) { s.Owner = strings.Repeat("o", SessionOwnerBytesMax+1) }, "owner"},
	} {
		s := valid
		tt.change(&s)
		var e *SessionError
		if got := errors.As(s.Validate(), &e); got != (tt.field != "") || got && e.Field != tt.field {
			t.Errorf("%+v: %v, want a fault in %q", s, s.Validate(), tt.field)
		}
	}
}

func TestValidateLockName(t *testing.T) {
	for _, name := range []string{"nightly", "jobs/日本 x", strings.Repeat("n", LockNameBytesMax)} {
		if err := ValidateLockName(name); err != nil {
			t.Errorf("%.40q: %v", name, err)
		}
	}
	for _, name := range []string{"", "a\nb", "a\x00", "\xff", "a\u0085", strings.Repeat("n", LockNameBytesMax+1)} {
		var e *LockError
		if err := ValidateLockName(name); !errors.As(err, &e) || e.Field != "name" || len(err.Error()) > 200 {
			t.Errorf("%.40q: %v, want a LockError", name, err)
		}
	}
}

// Every verdict has its words, and no number has those of another.
func TestVerdict_String_IsItsOwn(t *testing.T) {
	seen := map[string]Verdict{}
	for v := Verdict(1); v < 60; v++ {
		s := v.String()
		if other, ok := seen[s]; ok && s != "unknown" {
			t.Errorf("%d and %d are both %q", v, other, s)
		}
		seen[s] = v
	}
	for v, want := range map[Verdict]string{UnknownStrategy: "unknown strategy", LockHeld: "lock held", LockGranted: "lock granted", 0: "none", 255: "unknown"} {
		if got := v.String(); got != want {
			t.Errorf("%d is %q, want %q", v, got, want)
		}
	}
	if LockPermit.String() != "semaphore" || LockMode(9).String() != "unknown" || LockBroken.String() != "broken" || LockLoss(9).String() != "unknown" {
		t.Error("a mode or a loss has the words of another")
	}
}
