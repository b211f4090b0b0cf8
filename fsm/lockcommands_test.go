package fsm

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seed13d31b7f/berth/fsm/commandpb"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// The commands of scripts about sessions and locks:
//
//	open NAME [ttl=SECONDS]                                       the session is called NAME from then on
//	close NAME · lapse NAME                                       it expires
//	lock LOCK NAME [shared|permits=N] [wait] [delay=SECONDS]      exclusive unless told otherwise
//	unlock LOCK NAME [now|old] [waiting]                          "now" is the token of the session's newest claim to the lock
//	break LOCK [NAME|old] · enddelay LOCK NAME                    the newest claim of NAME
type lockNames struct {
	sessions map[string]placement.SessionID
	names    map[placement.SessionID]string
	tokens   map[string]placement.Epoch // by lock and name of the session

	lives  []placement.SessionID // for random commands
	claims []madeClaim
}

type madeClaim struct {
	name    string
	session placement.SessionID
	token   placement.Epoch
}

func newLockNames() lockNames {
	return lockNames{sessions: map[string]placement.SessionID{}, names: map[placement.SessionID]string{}, tokens: map[string]placement.Epoch{}}
}

// note takes in what a command made.
func (l *lockNames) note(words []string, r Result) {
	if r.Session != 0 && !r.Remembered {
		l.sessions[words[1]], l.names[r.Session] = r.Session, words[1]
	}
	if r.Token != 0 && words[0] == "lock" {
		l.tokens[words[1]+" "+words[2]] = r.Token
	}
}

func (s *script) lockCommand(words []string) Body {
	seconds := func(v string) time.Duration { return time.Duration(s.number(v)) * time.Second }
	arg := func(i int) string { return append(words, "", "", "")[i] }
	token := func(word, name string) placement.Epoch {
		switch word {
		case "now":
			return s.locks.tokens[arg(1)+" "+name]
		case "old":
			return 1
		}
		return 0
	}
	session := func(name string) placement.SessionID { return max(1, s.locks.sessions[name]) }
	switch words[0] {
	case "open":
		o := &OpenSession{placement.Session{TTL: 10 * time.Second, Holder: arg(1)}}
		if v, ok := strings.CutPrefix(arg(2), "ttl="); ok {
			o.Session.TTL = seconds(v)
		}
		return o
	case "close":
		return &CloseSession{session(arg(1))}
	case "lapse":
		return &ExpireSession{session(arg(1))}
	case "lock":
		l := &AcquireLock{Name: arg(1), Session: session(arg(2)), Mode: placement.LockExclusive}
		for _, w := range words[3:] {
			if v, ok := strings.CutPrefix(w, "permits="); ok {
				l.Mode, l.Permits = placement.LockPermit, uint32(s.number(v))
			} else if v, ok := strings.CutPrefix(w, "delay="); ok {
				l.Delay = seconds(v)
			} else if w == "shared" {
				l.Mode = placement.LockShared
			}
			l.Wait = l.Wait || w == "wait"
		}
		return l
	case "unlock":
		return &ReleaseLock{Name: arg(1), Session: session(arg(2)), Token: token(arg(3), arg(2)), WaitingAlone: words[len(words)-1] == "waiting"}
	case "break":
		if arg(2) == "" || arg(2) == "old" {
			return &BreakLock{arg(1), token(arg(2), "")}
		}
		return &BreakLock{arg(1), token("now", arg(2))}
	case "enddelay":
		return &EndLockDelay{arg(1), max(1, token("now", arg(2)))}
	}
	return nil
}

func (s *script) lockResult(r Result) (line string) {
	if r.Token != 0 {
		line = fmt.Sprintf(", token %d.%d", r.Token.Offset(), r.Token.Place())
	}
	if r.Queued {
		line += ", queued"
	}
	return line
}

func (s *script) lockChange(c Change) string {
	name := s.locks.names[c.Session]
	word := map[ChangeType]string{
		SessionOpened: "is open", SessionEnded: "is over", LockQueued: "waits for", LockGranted: "holds", LockReleased: "has no claim any more to", LockLost: "lost",
	}[c.Type]
	if c.Lock == nil {
		return fmt.Sprintf("session %s %s", name, word)
	}
	return fmt.Sprintf("%s %s %s%s", name, word, c.Lock.Name, claimText(c.Lock.Claim))
}

func claimText(c placement.Claim) string {
	text := fmt.Sprintf(", token %d.%d", c.Token.Offset(), c.Token.Place())
	if c.Lost != placement.LockKept {
		text += fmt.Sprintf(", %v, for %v more", c.Lost, c.Delay)
	}
	return text
}

// lockState checks the digest and prints sessions and locks.
func (s *script) lockState() (lines []string) {
	v := s.m.Publish()
	if v.Digest() != v.RecomputeDigest() {
		s.t.Errorf("at index %d the digest is off", v.Index)
	}
	for x := range v.Sessions(0) {
		lines = append(lines, fmt.Sprintf("session %s, %v, %d claims", s.locks.names[x.ID], x.TTL, v.SessionClaimCount(x.ID)))
	}
	for l := range v.Locks("") {
		for c, held := range l.Claims() {
			word := "waits for"
			if held {
				word = "holds"
			}
			lines = append(lines, fmt.Sprintf("%s %s %s, %v%s", s.locks.names[c.Session], word, l.Name, c.Mode, claimText(c)))
		}
	}
	return lines
}

// random is a command about a session or a lock.
func (l *lockNames) random(rng *rand.Rand) Body {
	id := placement.SessionID(7)
	if n := len(l.lives); n > 0 {
		id = l.lives[n-1-rng.IntN(min(6, n))]
	}
	name := fmt.Sprint("lock-", rng.IntN(6))
	claim := madeClaim{name, id, 7}
	if n := len(l.claims); n > 0 {
		claim = l.claims[n-1-rng.IntN(min(12, n))]
	}
	some := []placement.Epoch{0, claim.token}[rng.IntN(2)]
	switch rng.IntN(48) {
	case 0, 1:
		return &OpenSession{placement.Session{TTL: time.Duration(1+rng.IntN(300)) * time.Second, Holder: "h", Owner: []string{"", "o"}[rng.IntN(2)]}}
	case 2:
		return &ExpireSession{id}
	case 3:
		return &CloseSession{id}
	case 4, 5:
		return &BreakLock{claim.name, some}
	case 6, 7, 8, 9:
		return &EndLockDelay{claim.name, claim.token}
	case 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25:
		return &ReleaseLock{claim.name, claim.session, some, rng.IntN(4) == 0}
	}
	a := &AcquireLock{Name: name, Session: id, Mode: placement.LockMode(1 + rng.IntN(2)), Wait: rng.IntN(4) > 0, Delay: time.Duration(rng.IntN(3)) * time.Second, Patience: time.Duration(rng.IntN(2)) * time.Minute}
	if name >= "lock-4" {
		a.Mode, a.Permits = placement.LockPermit, uint32(2+rng.IntN(20)/19)
	}
	return a
}

// made takes in what a random command made.
func (l *lockNames) made(body Body, r Result) {
	if r.Session != 0 {
		l.lives = append(l.lives, r.Session)
	}
	if a, ok := body.(*AcquireLock); ok && r.Token != 0 {
		l.claims = append(l.claims, madeClaim{a.Name, a.Session, r.Token})
	}
}

// lockMessage gives a message the body that the generated code has for a command about a session or a lock.
func lockMessage(m *commandpb.Command, body Body) {
	switch b := body.(type) {
	case *OpenSession:
		m.Body = &commandpb.Command_OpenSession{OpenSession: &commandpb.OpenSession{TtlNs: uint64(b.Session.TTL), Holder: b.Session.Holder, Owner: b.Session.Owner}}
	case *CloseSession:
		m.Body = &commandpb.Command_CloseSession{CloseSession: &commandpb.CloseSession{Session: uint64(b.Session)}}
	case *ExpireSession:
		m.Body = &commandpb.Command_ExpireSession{ExpireSession: &commandpb.ExpireSession{Session: uint64(b.Session)}}
	case *AcquireLock:
		m.Body = &commandpb.Command_AcquireLock{AcquireLock: &commandpb.AcquireLock{
			Name: b.Name, Session: uint64(b.Session), Mode: uint32(b.Mode), Permits: b.Permits, Wait: b.Wait, DelayNs: uint64(b.Delay), PatienceNs: uint64(b.Patience),
		}}
	case *ReleaseLock:
		m.Body = &commandpb.Command_ReleaseLock{ReleaseLock: &commandpb.ReleaseLock{Name: b.Name, Session: uint64(b.Session), Token: uint64(b.Token), WaitingAlone: b.WaitingAlone}}
	case *BreakLock:
		m.Body = &commandpb.Command_BreakLock{BreakLock: &commandpb.BreakLock{Name: b.Name, Token: uint64(b.Token)}}
	case *EndLockDelay:
		m.Body = &commandpb.Command_EndLockDelay{EndLockDelay: &commandpb.EndLockDelay{Name: b.Name, Token: uint64(b.Token)}}
	}
}

func oneOfEachLock() []Command {
	return []Command{
		{Body: &OpenSession{placement.Session{TTL: 30 * time.Second, Holder: "ci-7/ü", Owner: "pid 7"}}}, {Body: &OpenSession{placement.Session{TTL: time.Second, Holder: "h"}}},
		{Body: &CloseSession{5}}, {Body: &ExpireSession{6}},
		{Body: &AcquireLock{Name: "nightly", Session: 5, Mode: placement.LockExclusive}},
		{Request: snapshot.RequestID{1, 2, 3}, RetrySince: 77, Body: &AcquireLock{Name: "a/ü", Session: 5, Mode: placement.LockShared, Wait: true, Delay: time.Second, Patience: time.Minute}},
		{Body: &AcquireLock{Name: "pool", Session: 5, Mode: placement.LockPermit, Permits: 3}},
		{Body: &ReleaseLock{Name: "nightly", Session: 5}}, {Body: &ReleaseLock{Name: "nightly", Session: 5, Token: 9, WaitingAlone: true}},
		{Body: &BreakLock{Name: "nightly"}}, {Body: &BreakLock{Name: "nightly", Token: 9}}, {Body: &EndLockDelay{Name: "nightly", Token: 9}},
	}
}

// The golden bytes keep this version's log readable for every later one.
func TestEncode_GoldenLocks(t *testing.T) {
	var b strings.Builder
	for _, c := range oneOfEachLock() {
		bytes, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(hex.EncodeToString(bytes) + "\n")
	}
	const file = "testdata/commands-locks.hex"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the bytes changed; got\n%s\nwant\n%s", b.String(), want)
	}
}

func badLockBodies() []Body {
	const x = placement.LockExclusive
	return []Body{
		&OpenSession{}, &OpenSession{placement.Session{TTL: 365 * 24 * time.Hour, Holder: "h"}}, &OpenSession{placement.Session{TTL: time.Second}},
		&OpenSession{placement.Session{TTL: time.Millisecond, Holder: "h"}}, &OpenSession{placement.Session{TTL: -time.Second, Holder: "h"}},
		&AcquireLock{Session: 1, Mode: x}, &AcquireLock{Name: "n", Mode: x}, &AcquireLock{Name: "n", Session: 1}, &AcquireLock{Name: "n\x00", Session: 1, Mode: x},
		&AcquireLock{Name: "n", Session: 1, Mode: 9}, &AcquireLock{Name: "n", Session: 1, Mode: placement.LockPermit}, &AcquireLock{Name: "n", Session: 1, Mode: x, Permits: 1},
		&AcquireLock{Name: "n", Session: 1, Mode: x, Delay: time.Hour}, &AcquireLock{Name: "n", Session: 1, Mode: x, Delay: -1},
		&AcquireLock{Name: "n", Session: 1, Mode: x, Patience: time.Hour}, &AcquireLock{Name: "n", Session: 1, Mode: placement.LockPermit, Permits: 1 << 31},
		&ReleaseLock{Session: 1}, &ReleaseLock{Name: "n"}, &BreakLock{}, &BreakLock{Name: "\xff"}, &EndLockDelay{Name: "n"}, &EndLockDelay{Token: 1},
	}
}

func TestEncode_LocksThatAreNotValid_AreRefused(t *testing.T) {
	for _, b := range append(badLockBodies(), &CloseSession{}, &ExpireSession{}) {
		if _, err := Encode(Command{Body: b}); err == nil {
			t.Errorf("%T %+v was encoded", b, b)
		}
	}
}

// What reached the log by a mistake of the proposer is refused alike by all replicas.
func TestMachine_InvalidLockCommands_AreRefused(t *testing.T) {
	a := newApplier(t)
	for _, b := range badLockBodies() {
		a.index++
		out, err := a.m.Apply(a.index, 1, AppendEntry(nil, Batch{Term: 1}, [][]byte{protowire.AppendBytes(protowire.AppendTag(nil, b.op(), protowire.BytesType), b.append(nil))}))
		if err != nil || out.Results[0].Verdict != placement.Invalid {
			t.Errorf("%T %+v: %+v, %v, want Invalid", b, b, out, err)
		}
	}
}
