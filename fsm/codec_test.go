package fsm

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/fsm/commandpb"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// message is the command as the generated code has it.
func message(c Command) *commandpb.Command {
	m := &commandpb.Command{RetrySince: c.RetrySince}
	if c.Request != (snapshot.RequestID{}) {
		m.RequestId = c.Request[:]
	}
	switch b := c.Body.(type) {
	case *Join:
		j := &commandpb.Join{Member: string(b.Member.ID), Address: b.Member.Address, Kinds: b.Member.Kinds, Weight: b.Member.Weight, Capacity: b.Member.Capacity}
		for _, l := range b.Member.Labels {
			j.Labels = append(j.Labels, &commandpb.Label{Name: l.Name, Value: l.Value})
		}
		m.Body = &commandpb.Command_Join{Join: j}
	case *Leave:
		m.Body = &commandpb.Command_Leave{Leave: &commandpb.Leave{Incarnation: uint64(b.Incarnation)}}
	case *Expire:
		m.Body = &commandpb.Command_Expire{Expire: &commandpb.Expire{Incarnation: uint64(b.Incarnation)}}
	case *Drain:
		m.Body = &commandpb.Command_Drain{Drain: &commandpb.Drain{Incarnation: uint64(b.Incarnation), Off: b.Off, Rate: b.Rate}}
	case *Place:
		m.Body = &commandpb.Command_Place{Place: &commandpb.Place{
			Kind: b.Identity.Kind, Key: b.Identity.Key, NearMember: string(b.Near.Member), NearLabel: b.Near.Label.Name, NearValue: b.Near.Label.Value,
		}}
	case *Confirm:
		m.Body = &commandpb.Command_Confirm{Confirm: &commandpb.Confirm{Kind: b.Identity.Kind, Key: b.Identity.Key, Incarnation: uint64(b.Incarnation), Epoch: uint64(b.Epoch)}}
	case *Fail:
		m.Body = &commandpb.Command_Fail{Fail: &commandpb.Fail{
			Kind: b.Identity.Kind, Key: b.Identity.Key, Epoch: uint64(b.Epoch), Code: uint32(b.Failure.Code), Text: b.Failure.Text,
		}}
	case *Release:
		m.Body = &commandpb.Command_Release{Release: &commandpb.Release{
			Kind: b.Identity.Kind, Key: b.Identity.Key, Incarnation: uint64(b.Incarnation), Epoch: uint64(b.Epoch), Code: uint32(b.Failure.Code), Text: b.Failure.Text,
		}}
	case *Evict:
		m.Body = &commandpb.Command_Evict{Evict: &commandpb.Evict{Kind: b.Identity.Kind, Key: b.Identity.Key, Epoch: uint64(b.Epoch)}}
	case *RegisterServer:
		s := b.Server
		m.Body = &commandpb.Command_RegisterServer{RegisterServer: &commandpb.RegisterServer{Name: s.Name, Incarnation: s.Incarnation, RaftAddress: s.RaftAddress, GrpcAddress: s.GRPCAddress, HttpAddress: s.HTTPAddress, FeatureLevel: s.FeatureLevel, Version: s.Version}}
	case *RemoveServer:
		m.Body = &commandpb.Command_RemoveServer{RemoveServer: &commandpb.RemoveServer{Name: b.Name}}
	case *SetKind:
		k := &commandpb.SetKind{
			Kind: b.Kind, Strategy: b.Settings.Strategy, Attempts: uint32(b.Settings.Attempts), Settle: uint32(b.Settings.Settle), NoRequire: b.Unset.Require,
			MemberCapacity: b.Settings.MemberCapacity, NoMemberCapacity: b.Unset.MemberCapacity, ConfirmMs: b.Settings.ConfirmMs, NoConfirmMs: b.Unset.ConfirmMs,
		}
		for _, l := range b.Settings.Required() {
			k.Require = append(k.Require, &commandpb.Label{Name: l.Name, Value: l.Value})
		}
		m.Body = &commandpb.Command_SetKind{SetKind: k}
	case *Block:
		m.Body = &commandpb.Command_Block{Block: &commandpb.Block{
			Member: string(b.Member), Kind: b.Identity.Kind, Key: b.Identity.Key, Reason: b.Reason, By: b.By, UntilMs: b.Until, LastsMs: b.Lasts,
		}}
	case *Unblock:
		m.Body = &commandpb.Command_Unblock{Unblock: &commandpb.Unblock{Member: string(b.Member), Kind: b.Identity.Kind, Key: b.Identity.Key}}
	case *SetFeatureLevel:
		m.Body = &commandpb.Command_SetFeatureLevel{SetFeatureLevel: &commandpb.SetFeatureLevel{Level: b.Level}}
	case *Move:
		m.Body = &commandpb.Command_Move{Move: &commandpb.Move{Kind: b.Identity.Kind, Key: b.Identity.Key, Epoch: uint64(b.Epoch), To: string(b.To)}}
	default:
		lockMessage(m, c.Body)
	}
	return m
}

func oneOfEach() []Command {
	id := placement.Identity{Kind: "cart", Key: "42/ü"}
	member := placement.Member{ID: "m1", Address: "10.0.0.1:9000", Kinds: []string{"room", "cart"}, Labels: []placement.Label{{Name: "zone", Value: "a"}, {Name: "disk", Value: ""}}, Weight: 7, Capacity: 9}
	server := snapshot.Server{Name: "s1", Incarnation: "01J", RaftAddress: "h:1", GRPCAddress: "h:2", HTTPAddress: "h:3", FeatureLevel: 1, Version: "v0.1.0"}
	return []Command{
		{Body: &Join{member}}, {Body: &Leave{5}}, {Body: &Expire{6}}, {Body: &Drain{Incarnation: 7}}, {Body: &Drain{Incarnation: 7, Off: true}},
		{Body: &Place{Identity: id}}, {Body: &Confirm{id, 5, 9}}, {Body: &Fail{Identity: id, Epoch: 9}}, {Body: &Release{id, 5, 9, placement.Failure{}}},
		{Body: &Evict{id, 9}}, {Body: &Evict{id, 0}}, {Body: &RegisterServer{server}}, {Body: &RemoveServer{"s1"}},
		{Request: snapshot.RequestID{1, 2, 3}, RetrySince: 77, Body: &Place{Identity: id}},
		{Body: &Place{Identity: id, Near: placement.Near{Member: "m1", Label: placement.Label{Name: "zone", Value: "a"}}}},
		{Body: &SetKind{Kind: "cart", Settings: placement.KindSettings{Strategy: "least-loaded", Attempts: 5}}}, {Body: &SetKind{Kind: "cart", Settings: placement.KindSettings{Attempts: 16}}},
	}
}

// oneOfEachLater are the commands and fields that came after those.
func oneOfEachLater() []Command {
	id := placement.Identity{Kind: "cart", Key: "42/ü"}
	labels := [placement.RequireMax]placement.Label{{Name: "disk"}, {Name: "zone", Value: "a"}}
	return []Command{
		{Body: &Fail{id, 9, placement.Failure{Code: placement.FailureTimeout}}}, {Body: &Fail{id, 9, placement.Failure{Code: placement.FailureActivation, Text: "disk full: ü"}}},
		{Body: &SetKind{"cart", placement.KindSettings{Settle: placement.SettleOnPlace, Require: labels, MemberCapacity: 1000, ConfirmMs: 2500}, KindUnset{}}},
		{Body: &SetKind{Kind: "cart", Unset: KindUnset{true, true, true}}}, {Body: &SetKind{Kind: "cart", Settings: placement.KindSettings{Settle: placement.SettleOnConfirm}}},
		{Body: &Block{Subject: snapshot.Subject{Member: "m1"}, Reason: "bad disk: ü", By: "ops@desk", Until: 1_800_000_000_000}}, {Body: &Block{Subject: snapshot.Subject{Identity: id}}},
		{Body: &Unblock{snapshot.Subject{Member: "m1"}}}, {Body: &Unblock{snapshot.Subject{Identity: id}}},
		{Body: &SetFeatureLevel{2}}, {Body: &Move{id, 9, "m1"}}, {Request: snapshot.RequestID{1}, RetrySince: 7, Body: &Move{Identity: id, To: "m1"}},
		{Body: &Block{Subject: snapshot.Subject{Member: "m1"}, Lasts: 3_600_000}},
	}
}

// oneOfEachRate are the commands that say how fast, which came after those.
func oneOfEachRate() []Command {
	return []Command{{Body: &Drain{Incarnation: 7, Rate: 200}}, {Body: &Drain{Incarnation: 7, Rate: 1<<32 - 1}}}
}

// oneOfEachCrash are the commands that say that something crashed, which came after those.
func oneOfEachCrash() []Command {
	id := placement.Identity{Kind: "cart", Key: "42/ü"}
	return []Command{
		{Body: &Fail{id, 9, placement.Failure{Code: placement.FailureCrash, Text: "out of memory"}}},
		{Body: &Release{id, 5, 9, placement.Failure{Code: placement.FailureCrash, Text: "nil map: ü"}}}, {Body: &Release{id, 5, 9, placement.Failure{Code: placement.FailureActivation}}},
	}
}

// The bytes are those that the generated code writes for the same message.
func TestEncode_IsProtobuf(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	commands := append(oneOfEach(), oneOfEachLater()...)
	last := map[placement.Identity]placement.Entry{}
	commands = append(commands, oneOfEachLock()...)
	commands = append(commands, oneOfEachCrash()...)
	commands = append(commands, oneOfEachRate()...)
	for range 500 {
		c, _ := randomCommand(rng, []placement.Incarnation{1 << 40, 9}, last)
		commands = append(commands, c)
	}
	for _, c := range commands {
		got, err := Encode(c)
		if err != nil {
			t.Fatalf("%T: %v", c.Body, err)
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(message(c))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%T %+v encodes to\n%x, the generated code writes\n%x", c.Body, c.Body, got, want)
		}
	}
	entry := AppendEntry(nil, Batch{Term: 3, Barrier: 2, Time: 1e12}, [][]byte{{1}, {}})
	var m commandpb.Entry
	if err := proto.Unmarshal(AppendEntry(nil, Batch{Term: 3, Barrier: 2, Time: 1e12}, nil), &m); err != nil || m.Term != 3 || m.Barrier != 2 || m.TimeMs != 1e12 {
		t.Errorf("entry %x reads as %v, %v", entry, &m, err)
	}
	s := Start{Server: "s1", ReadLease: 3e9, MemberTTL: 5e9, ClusterID: "C", Seed: 9, Time: 1e12}
	if err := proto.Unmarshal(EncodeStart(s), &m); err != nil || m.Start.GetServer() != "s1" || m.Start.GetReadLeaseNs() != 3e9 || m.Start.GetMemberTtlNs() != 5e9 || m.Start.GetClusterId() != "C" || m.Start.GetSeed() != 9 || m.TimeMs != 1e12 {
		t.Errorf("start reads as %v, %v", &m, err)
	}
}

// The golden bytes keep this version's log readable for every later one.
func TestEncode_Golden(t *testing.T) {
	var b strings.Builder
	for _, c := range oneOfEach() {
		bytes, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(hex.EncodeToString(bytes) + "\n")
	}
	b.WriteString(hex.EncodeToString(EncodeStart(Start{Server: "s1", ReadLease: 3e9, MemberTTL: 5e9, ClusterID: "C", Seed: 9, Time: 1e12})) + "\n")
	b.WriteString(hex.EncodeToString(AppendEntry(nil, Batch{Term: 3, Barrier: 2, Time: 1e12}, [][]byte{{0x0a}, {}})) + "\n")
	checkGolden(t, "testdata/commands.hex", b.String())
	b.Reset()
	for _, c := range oneOfEachLater() {
		bytes, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(hex.EncodeToString(bytes) + "\n")
	}
	checkGolden(t, "testdata/commands-blocks.hex", b.String())
	b.Reset()
	for _, c := range oneOfEachCrash() {
		bytes, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(hex.EncodeToString(bytes) + "\n")
	}
	checkGolden(t, "testdata/commands-crashes.hex", b.String())
	b.Reset()
	for _, c := range oneOfEachRate() {
		bytes, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(hex.EncodeToString(bytes) + "\n")
	}
	checkGolden(t, "testdata/commands-rates.hex", b.String())
}

func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if _, err := os.Stat(file); *update && os.IsNotExist(err) {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: the bytes changed; got\n%s\nwant\n%s", file, got, want)
	}
}

// What was written before there were blocks is read and written as then.
func TestDecode_GoldenReadsBack(t *testing.T) {
	for _, c := range slices.Concat(oneOfEach(), oneOfEachLater(), oneOfEachCrash(), oneOfEachRate()) {
		b, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		read, err := decodeCommand(b)
		if err != nil || read.op != c.Body.op() || read.request != c.Request || read.retrySince != c.RetrySince {
			t.Errorf("%T reads as %+v, %v", c.Body, read, err)
		}
		var got any
		switch want := c.Body.(type) {
		case *SetKind:
			x, e := decodeSetKind(read.body)
			got, err = &x, e
		case *Fail:
			x, e := decodeFail(read.body)
			got, err = &x, e
		case *Drain:
			x, e := decodeDrain(read.body)
			got, err = &x, e
		case *Release:
			x, e := decodeRelease(read.body)
			got, err = &x, e
		case *Block:
			x, e := decodeBlock(read.body, opBlock)
			got, err = &x, e
		case *Unblock:
			x, e := decodeBlock(read.body, opUnblock)
			got, err = &Unblock{x.Subject}, e
		case *SetFeatureLevel:
			x, e := decodeSetFeatureLevel(read.body)
			got, err = &x, e
		case *Move:
			x, e := decodeMove(read.body)
			got, err = &x, e
		default:
			got = want
		}
		if err != nil || !reflect.DeepEqual(got, c.Body) {
			t.Errorf("%T %+v reads as %+v, %v", c.Body, c.Body, got, err)
		}
	}
}

func TestEncode_RefusesWhatIsNotValid(t *testing.T) {
	id := placement.Identity{Kind: "cart", Key: "1"}
	long := snapshot.Server{Name: "s", Incarnation: "i", Version: strings.Repeat("v", 256)}
	for _, b := range []Body{
		&Place{Identity: placement.Identity{Kind: "cart"}}, &Confirm{id, 0, 1}, &Confirm{id, 1, 0}, &Fail{Identity: id, Epoch: 0}, &Release{id, 0, 1, placement.Failure{}},
		&Evict{placement.Identity{}, 0}, &Leave{}, &Expire{}, &Drain{}, &Drain{7, true, 1}, &Join{}, &RegisterServer{}, &RegisterServer{snapshot.Server{Name: "s"}},
		&RegisterServer{long}, &RemoveServer{}, &RemoveServer{"a/b"}, &Place{id, placement.Near{Member: "a b"}},
		&Place{id, placement.Near{Label: placement.Label{Value: "a"}}}, &SetKind{}, &SetKind{Kind: "cart"}, &SetKind{Kind: "a/b", Settings: placement.KindSettings{Attempts: 1}},
		&SetKind{Kind: "cart", Settings: placement.KindSettings{Settle: 3}}, &SetKind{Kind: "cart", Settings: placement.KindSettings{ConfirmMs: 99}},
		&SetKind{"cart", placement.KindSettings{ConfirmMs: 500}, KindUnset{ConfirmMs: true}}, &SetKind{"cart", placement.KindSettings{MemberCapacity: 1}, KindUnset{MemberCapacity: true}},
		&SetKind{"cart", placement.KindSettings{Require: [placement.RequireMax]placement.Label{{Name: "a"}}}, KindUnset{Require: true}},
		&SetKind{Kind: "cart", Settings: placement.KindSettings{Require: [placement.RequireMax]placement.Label{{Value: "a"}}}},
		&Fail{id, 1, placement.Failure{Code: 5}}, &Release{id, 1, 1, placement.Failure{Code: 5}}, &Release{id, 1, 1, placement.Failure{Text: "\xff"}}, &Fail{id, 1, placement.Failure{Text: strings.Repeat("r", 256)}}, &Fail{id, 1, placement.Failure{Text: "\xff"}},
		&Block{}, &Block{Subject: snapshot.Subject{Member: "m", Identity: id}}, &Block{Subject: snapshot.Subject{Member: "a b"}}, &Unblock{},
		&Block{Subject: snapshot.Subject{Identity: placement.Identity{Kind: "cart"}}}, &Block{Subject: snapshot.Subject{Member: "m"}, Reason: strings.Repeat("r", 256)},
		&Block{Subject: snapshot.Subject{Member: "m"}, Until: 1, Lasts: 1}, &Block{Subject: snapshot.Subject{Member: "m"}, Reason: "a\nb"}, &Block{Subject: snapshot.Subject{Member: "m"}, By: strings.Repeat("b", 129)},
		&Unblock{snapshot.Subject{Member: "m", Identity: id}}, &SetFeatureLevel{}, &Move{Identity: id}, &Move{Identity: id, To: "a/b"}, &Move{To: "m1"},
		&SetKind{Kind: "cart", Settings: placement.KindSettings{Attempts: placement.AttemptsMax + 1}}, &SetKind{Kind: "cart", Settings: placement.KindSettings{Strategy: "a b"}},
	} {
		if _, err := Encode(Command{Body: b}); err == nil {
			t.Errorf("%T %+v was encoded", b, b)
		}
	}
	m := placement.Member{ID: "m", Address: "h:1"}
	for i := range placement.MemberKindsMax {
		m.Kinds = append(m.Kinds, strings.Repeat("k", 60)+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)))
	}
	if b, err := Encode(Command{Body: &Join{m}}); err != nil {
		t.Errorf("the largest member: %v", err)
	} else if len(b) > CommandBytesMax {
		t.Errorf("the largest member has %d bytes", len(b))
	}
}
