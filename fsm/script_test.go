package fsm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

var update = flag.Bool("update", false, "rewrite the expected results of the scripts")

// The scripts in testdata are logs to read: each line is one log entry, and below it, indented, stands what it did.
//
//	start [t=TERM]                                        a Start, t=1 unless told otherwise
//	[t=TERM] [for=TERM] [b=BARRIER] [at=MS] COMMAND; COMMAND …    a batch committed in TERM, made for TERM, with a barrier, at a time
//	state                                                 no entry: prints what everybody must see
//	kinds                                                 no entry: prints the kinds and their settings
//	locks                                                 no entry: prints the open sessions, and the locks with their claims
//	restart                                               no entry: goes on with a machine made from the bytes of a snapshot
//
// Commands: join NAME KIND,… [weight=N] [capacity=N] [zone=Z] · leave INC · expire INC · drain INC · undrain INC · place ID [near=NAME|zone=Z] ·
// confirm ID INC EPOCH · fail ID EPOCH · release ID INC EPOCH · evict ID [EPOCH] · server NAME INC · unserver NAME ·
// kind NAME [strategy=NAME] [attempts=N]. Any of them may end in req=TEXT and retry=INDEX. INC is a member's name for its newest incarnation, NAME#n for its n-th;
// See lockcommands_test.go for those about sessions and locks.
//
//	blocks                                                no entry: prints the blocks and the moves
//	crashes                                               no entry: prints whose crashes are remembered
//	restart                                               no entry: goes on with a machine made from the bytes of a snapshot
//
// Commands: join NAME KIND,… [weight=N] [capacity=N] [zone=Z] · leave INC · expire INC · drain INC [rate=N] · undrain INC · place ID [near=NAME|zone=Z] ·
// confirm ID INC EPOCH · fail ID EPOCH [WHY] · release ID INC EPOCH [crash=WHY] · evict ID [EPOCH] · server NAME INC [level=N] · unserver NAME ·
// kind NAME [strategy=NAME] [attempts=N] [settle=MODE] [zone=Z] [most=N] [confirm=MS] [unset] · block NAME|ID [why=TEXT] [until=MS|lasts=MS] ·
// unblock NAME|ID · move ID NAME [EPOCH] · level N. Any of them may end in req=TEXT and retry=INDEX. INC is a member's name for its newest incarnation, NAME#n for its n-th;
// EPOCH is "now" for the identity's newest, or "old" for one that never was.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newScript(t).run(string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s reads differently now; got\n%s", file, got)
			}
		})
	}
}

type script struct {
	t     *testing.T
	m     *Machine
	index uint64
	lives map[string][]placement.Incarnation
	names map[placement.Incarnation]string
	epoch map[placement.Identity]placement.Epoch
	log   []logged
	locks lockNames
}

type logged struct {
	index, term uint64
	data        []byte
}

func newScript(t *testing.T) *script {
	s := &script{t: t, m: New(snapshot.Empty()), lives: map[string][]placement.Incarnation{}, names: map[placement.Incarnation]string{}, locks: newLockNames(), epoch: map[placement.Identity]placement.Epoch{}}
	s.m.Observed = true
	return s
}

func (s *script) run(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // what was expected
		}
		out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		for _, l := range s.line(line) {
			out.WriteString("  " + l + "\n")
		}
	}
	return out.String()
}

func (s *script) line(line string) []string {
	switch line {
	case "state":
		return s.state()
	case "kinds":
		return s.kinds()
	case "locks":
		return s.lockState()
	case "blocks":
		return s.blocks()
	case "crashes":
		return s.crashes()
	case "restart":
		s.m = New(recode(s.t, s.m.Publish()))
		s.m.Observed = true
		return nil
	}
	var data []byte
	var commands []string
	term, batch := uint64(1), Batch{}
	madeFor := uint64(0)
	for rest := line; rest != ""; {
		word, after, _ := strings.Cut(rest, " ")
		switch {
		case strings.HasPrefix(word, "t="):
			term = s.number(word[2:])
		case strings.HasPrefix(word, "for="):
			madeFor = s.number(word[4:])
		case strings.HasPrefix(word, "b="):
			batch.Barrier = s.number(word[2:])
		case strings.HasPrefix(word, "at="):
			batch.Time = s.number(word[3:])
		case word == "start":
			data = EncodeStart(Start{Server: "s1", ClusterID: "C", Seed: 1, MemberTTL: 5e9})
		case word == "pulse":
		default:
			commands = strings.Split(rest, "; ")
			after = ""
		}
		rest = after
	}
	if batch.Term = madeFor; madeFor == 0 {
		batch.Term = term
	}
	s.index++
	if data == nil {
		var encoded [][]byte
		for _, c := range commands {
			b, err := Encode(s.command(strings.Fields(c)))
			if err != nil {
				s.t.Fatalf("%s: %v", c, err)
			}
			encoded = append(encoded, b)
		}
		data = AppendEntry(nil, batch, encoded)
	}
	s.log = append(s.log, logged{s.index, term, data})
	out, err := s.m.Apply(s.index, term, data)
	if err != nil {
		return []string{"stops: " + err.Error()}
	}
	return s.report(out, commands)
}

func (s *script) number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) command(words []string) (c Command) {
	for len(words) > 1 {
		last := words[len(words)-1]
		if v, ok := strings.CutPrefix(last, "req="); ok {
			copy(c.Request[:], v)
		} else if v, ok := strings.CutPrefix(last, "retry="); ok {
			c.RetrySince = s.number(v) + 1
		} else {
			break
		}
		words = words[:len(words)-1]
	}
	arg := func(i int) string {
		if i >= len(words) {
			return ""
		}
		return words[i]
	}
	id, _ := placement.ParseIdentity(arg(1))
	epoch := func(word string) placement.Epoch {
		switch word {
		case "now":
			return s.epoch[id]
		case "old":
			return 1
		}
		return 0
	}
	switch words[0] {
	case "join":
		m := placement.Member{ID: placement.MemberID(arg(1)), Address: "10.0.0.1:9000", Kinds: strings.Split(arg(2), ",")}
		for _, w := range words[3:] {
			if v, ok := strings.CutPrefix(w, "weight="); ok {
				m.Weight = uint32(s.number(v))
			} else if v, ok := strings.CutPrefix(w, "capacity="); ok {
				m.Capacity = uint32(s.number(v))
			} else if v, ok := strings.CutPrefix(w, "zone="); ok {
				m.Labels = []placement.Label{{Name: "zone", Value: v}}
			}
		}
		c.Body = &Join{m}
	case "leave":
		c.Body = &Leave{s.life(arg(1))}
	case "expire":
		c.Body = &Expire{s.life(arg(1))}
	case "drain", "undrain":
		d := &Drain{Incarnation: s.life(arg(1)), Off: words[0] == "undrain"}
		if v, ok := strings.CutPrefix(arg(2), "rate="); ok {
			d.Rate = uint32(s.number(v))
		}
		c.Body = d
	case "place":
		p := &Place{Identity: id}
		for _, w := range words[2:] {
			if v, ok := strings.CutPrefix(w, "near="); ok {
				p.Near.Member = placement.MemberID(v)
			} else if v, ok := strings.CutPrefix(w, "zone="); ok {
				p.Near.Label = placement.Label{Name: "zone", Value: v}
			}
		}
		c.Body = p
	case "confirm":
		c.Body = &Confirm{id, s.life(arg(2)), epoch(arg(3))}
	case "fail":
		c.Body = &Fail{id, epoch(arg(2)), placement.Failure{Text: arg(3)}}
		if arg(3) != "" {
			c.Body.(*Fail).Failure.Code = placement.FailureActivation
		}
	case "release":
		r := &Release{Identity: id, Incarnation: s.life(arg(2)), Epoch: epoch(arg(3))}
		if why, ok := strings.CutPrefix(arg(4), "crash="); ok {
			r.Failure = placement.Failure{Code: placement.FailureCrash, Text: why}
		}
		c.Body = r
	case "evict":
		c.Body = &Evict{id, epoch(arg(2))}
	case "server":
		x := snapshot.Server{Name: arg(1), Incarnation: arg(2), RaftAddress: arg(1) + ":1"}
		if v, ok := strings.CutPrefix(arg(3), "level="); ok {
			x.FeatureLevel = uint32(s.number(v))
		}
		c.Body = &RegisterServer{x}
	case "level":
		c.Body = &SetFeatureLevel{uint32(s.number(arg(1)))}
	case "block":
		b := &Block{Subject: subject(arg(1)), By: "ops"}
		for _, w := range words[2:] {
			if v, ok := strings.CutPrefix(w, "why="); ok {
				b.Reason = v
			} else if v, ok := strings.CutPrefix(w, "until="); ok {
				b.Until = s.number(v)
			} else if v, ok := strings.CutPrefix(w, "lasts="); ok {
				b.Lasts = s.number(v)
			}
		}
		c.Body = b
	case "unblock":
		c.Body = &Unblock{subject(arg(1))}
	case "move":
		c.Body = &Move{id, epoch(arg(3)), placement.MemberID(arg(2))}
	case "unserver":
		c.Body = &RemoveServer{arg(1)}
	case "kind":
		k := &SetKind{Kind: arg(1)}
		for _, w := range words[2:] {
			if v, ok := strings.CutPrefix(w, "strategy="); ok {
				k.Settings.Strategy = v
			} else if v, ok := strings.CutPrefix(w, "attempts="); ok {
				k.Settings.Attempts = uint8(s.number(v))
			} else if v, ok := strings.CutPrefix(w, "settle="); ok {
				k.Settings.Settle = placement.SettleModeNamed(v)
			} else if v, ok := strings.CutPrefix(w, "zone="); ok {
				k.Settings.Require[0] = placement.Label{Name: "zone", Value: v}
			} else if v, ok := strings.CutPrefix(w, "most="); ok {
				k.Settings.MemberCapacity = uint32(s.number(v))
			} else if v, ok := strings.CutPrefix(w, "confirm="); ok {
				k.Settings.ConfirmMs = uint32(s.number(v))
			} else if w == "unset" {
				k.Unset = KindUnset{true, true, true}
			}
		}
		c.Body = k
	default:
		if c.Body = s.lockCommand(words); c.Body == nil {
			s.t.Fatalf("no command %q", words[0])
		}
	}
	return c
}

// subject reads what a block is about: an identity has a slash.
func subject(text string) snapshot.Subject {
	if id, err := placement.ParseIdentity(text); err == nil {
		return snapshot.Subject{Identity: id}
	}
	return snapshot.Subject{Member: placement.MemberID(text)}
}

// life finds NAME or NAME#n.
func (s *script) life(name string) placement.Incarnation {
	name, nth, numbered := strings.Cut(name, "#")
	lives := s.lives[name]
	if numbered {
		return lives[s.number(nth)-1]
	}
	if len(lives) == 0 {
		return 7 // nobody's
	}
	return lives[len(lives)-1]
}

func (s *script) report(out *Output, commands []string) (lines []string) {
	if out.Started {
		lines = append(lines, fmt.Sprintf("%d: tenure of term %d", out.Index, out.Term))
	}
	for i, r := range out.Results {
		words := strings.Fields(commands[i])
		if r.Incarnation != 0 && !r.Remembered {
			s.lives[words[1]] = append(s.lives[words[1]], r.Incarnation)
			s.names[r.Incarnation] = fmt.Sprintf("%s#%d", words[1], len(s.lives[words[1]]))
		}
		s.locks.note(words, r)
		if r.Entry.Epoch != 0 {
			id, _ := placement.ParseIdentity(words[1])
			s.epoch[id] = r.Entry.Epoch
		}
		line := fmt.Sprintf("%d: %s: %v", out.Index, commands[i], r.Verdict)
		if r.Entry.Phase != placement.Absent {
			line += ", " + s.entry(r.Entry)
		}
		line += s.lockResult(r)
		if r.Remembered {
			line += fmt.Sprintf(", remembered from %d", r.Index)
		}
		lines = append(lines, line)
	}
	for _, c := range out.Changes {
		switch c.Type {
		case MemberJoined, MemberChanged, MemberEnded:
			lines = append(lines, fmt.Sprintf("→ %s is %v", s.names[c.Member.Incarnation], c.Member.State))
		case RemovalsCompleted:
			lines = append(lines, fmt.Sprintf("→ removals up to %d are complete", s.m.edit.View().Barrier))
		case PlacementChanged:
			line := fmt.Sprintf("→ %v: %s → %s", c.Identity, s.entry(c.Before), s.entry(c.Entry))
			if c.Failed != nil && *c.Failed != (placement.Failure{}) {
				line += fmt.Sprintf(", since %s %v", s.names[c.Before.Owner], c.Failed)
			}
			lines = append(lines, line)
		case KindChanged:
			lines = append(lines, fmt.Sprintf("→ kind %s has other settings", c.Identity.Kind))
		case BlockAdded:
			lines = append(lines, fmt.Sprintf("→ %s is blocked, which asks back %d", blockSubject(c.Block.Subject), c.Block.Placements))
		case RetryThrottled:
			lines = append(lines, fmt.Sprintf("→ %v is held back until %d ms, since %s with epoch %d.%d was crash %d: %v",
				c.Identity, c.Block.Until, c.Former.ID, c.Before.Epoch.Offset(), c.Before.Epoch.Place(), c.Block.Crashes, c.Failed))
		case BlockRemoved:
			lines = append(lines, fmt.Sprintf("→ %s is blocked no longer", blockSubject(c.Block.Subject)))
		default:
			lines = append(lines, "→ "+s.lockChange(c))
		}
	}
	return lines
}

func (s *script) entry(e placement.Entry) string {
	switch e.Phase {
	case placement.Absent:
		return "absent"
	case placement.Tombstone:
		return fmt.Sprintf("tombstone of %d", e.Removed)
	}
	line := fmt.Sprintf("%v on %s, epoch %d.%d", e.Phase, s.names[e.Owner], e.Epoch.Offset(), e.Epoch.Place())
	if e.Reason > placement.ReasonNextCandidate {
		line += fmt.Sprintf(" (%v)", e.Reason)
	}
	if e.Attempt > 0 {
		line += fmt.Sprintf(", attempt %d", e.Attempt+1)
	}
	if e.Draining {
		line += ", draining"
	}
	return line
}

func (s *script) kinds() (lines []string) {
	v := s.m.Publish()
	if v.Digest() != v.RecomputeDigest() {
		s.t.Errorf("at index %d the digest is off", v.Index)
	}
	for kind := range v.Kinds() {
		k := v.KindSettings(kind)
		line := fmt.Sprintf("%s by %s, %d attempts", kind, k.Strategy, k.Attempts)
		if k.Settle != placement.SettleOnConfirm {
			line += fmt.Sprintf(", settled %v", k.Settle)
		}
		for _, l := range k.Required() {
			line += fmt.Sprintf(", where %s is %s", l.Name, l.Value)
		}
		if k.MemberCapacity != 0 {
			line += fmt.Sprintf(", at most %d on one member", k.MemberCapacity)
		}
		if k.ConfirmMs != 0 {
			line += fmt.Sprintf(", confirmed within %d ms", k.ConfirmMs)
		}
		lines = append(lines, line)
	}
	if level := v.Cluster.FeatureLevel; level != 1 {
		lines = append(lines, fmt.Sprintf("feature level %d", level))
	}
	return lines
}

func blockSubject(s snapshot.Subject) string {
	if s.Member != "" {
		return string(s.Member)
	}
	return s.Identity.String()
}

func (s *script) blocks() (lines []string) {
	v := s.m.Publish()
	if v.Digest() != v.RecomputeDigest() {
		s.t.Errorf("at index %d the digest is off", v.Index)
	}
	for b := range v.Blocks() {
		line := string(b.Member)
		if line == "" {
			line = b.Identity.String()
		}
		line += fmt.Sprintf(" is blocked since %d ms", b.Since)
		if b.Until != 0 {
			line += fmt.Sprintf(" until %d ms", b.Until)
		}
		lines = append(lines, strings.TrimSpace(line+" "+b.Reason))
	}
	for m := range v.Moves() {
		lines = append(lines, fmt.Sprintf("%v is on its way to %s", m.Identity, m.To))
	}
	return append(lines, fmt.Sprintf("%d blocks, %d moves", v.BlockCount(), v.MoveCount()))
}

func (s *script) crashes() (lines []string) {
	v := s.m.Publish()
	if v.Digest() != v.RecomputeDigest() {
		s.t.Errorf("at index %d the digest is off", v.Index)
	}
	for c := range v.Crashes() {
		lines = append(lines, fmt.Sprintf("%v crashed %d times in a row, last at %d ms, and is well at %d ms", c.Identity, c.Count, c.Last, c.Forgotten()))
	}
	return append(lines, fmt.Sprintf("%d remembered", v.CrashCount()))
}

// state checks the digest and prints the view.
func (s *script) state() (lines []string) {
	v := s.m.Publish()
	if v.Digest() != v.RecomputeDigest() {
		s.t.Errorf("at index %d the digest is off", v.Index)
	}
	lines = append(lines, fmt.Sprintf("index %d, term %d, barrier %d", v.Index, v.Term, v.Barrier))
	for _, name := range sortedKeys(s.lives) {
		for _, inc := range s.lives[name] {
			if m := v.Incarnation(inc); m != nil {
				load := v.MemberLoad(inc)
				line := fmt.Sprintf("%s %v, %d settled, %d pending", s.names[inc], m.State, load.Settled, load.Pending)
				if m.DrainRate != 0 {
					line += fmt.Sprintf(", drains by %d a second", m.DrainRate)
				}
				lines = append(lines, line)
			}
		}
	}
	byID := map[string]string{}
	for p := range v.Placements() {
		byID[p.Identity.String()] = s.entry(p.Entry)
	}
	for _, id := range sortedKeys(byID) {
		lines = append(lines, id+" "+byID[id])
	}
	return lines
}
