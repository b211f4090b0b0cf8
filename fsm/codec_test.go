package fsm

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
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
		m.Body = &commandpb.Command_Drain{Drain: &commandpb.Drain{Incarnation: uint64(b.Incarnation), Off: b.Off}}
	case *Place:
		m.Body = &commandpb.Command_Place{Place: &commandpb.Place{
			Kind: b.Identity.Kind, Key: b.Identity.Key, NearMember: string(b.Near.Member), NearLabel: b.Near.Label.Name, NearValue: b.Near.Label.Value,
		}}
	case *Confirm:
		m.Body = &commandpb.Command_Confirm{Confirm: &commandpb.Confirm{Kind: b.Identity.Kind, Key: b.Identity.Key, Incarnation: uint64(b.Incarnation), Epoch: uint64(b.Epoch)}}
	case *Fail:
		m.Body = &commandpb.Command_Fail{Fail: &commandpb.Fail{Kind: b.Identity.Kind, Key: b.Identity.Key, Epoch: uint64(b.Epoch)}}
	case *Release:
		m.Body = &commandpb.Command_Release{Release: &commandpb.Release{Kind: b.Identity.Kind, Key: b.Identity.Key, Incarnation: uint64(b.Incarnation), Epoch: uint64(b.Epoch)}}
	case *Evict:
		m.Body = &commandpb.Command_Evict{Evict: &commandpb.Evict{Kind: b.Identity.Kind, Key: b.Identity.Key, Epoch: uint64(b.Epoch)}}
	case *RegisterServer:
		s := b.Server
		m.Body = &commandpb.Command_RegisterServer{RegisterServer: &commandpb.RegisterServer{Name: s.Name, Incarnation: s.Incarnation, RaftAddress: s.RaftAddress, GrpcAddress: s.GRPCAddress, HttpAddress: s.HTTPAddress, FeatureLevel: s.FeatureLevel, Version: s.Version}}
	case *RemoveServer:
		m.Body = &commandpb.Command_RemoveServer{RemoveServer: &commandpb.RemoveServer{Name: b.Name}}
	case *SetKind:
		m.Body = &commandpb.Command_SetKind{SetKind: &commandpb.SetKind{Kind: b.Kind, Strategy: b.Settings.Strategy, Attempts: uint32(b.Settings.Attempts)}}
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
		{Body: &Join{member}}, {Body: &Leave{5}}, {Body: &Expire{6}}, {Body: &Drain{7, false}}, {Body: &Drain{7, true}},
		{Body: &Place{Identity: id}}, {Body: &Confirm{id, 5, 9}}, {Body: &Fail{id, 9}}, {Body: &Release{id, 5, 9}},
		{Body: &Evict{id, 9}}, {Body: &Evict{id, 0}}, {Body: &RegisterServer{server}}, {Body: &RemoveServer{"s1"}},
		{Request: snapshot.RequestID{1, 2, 3}, RetrySince: 77, Body: &Place{Identity: id}},
		{Body: &Place{Identity: id, Near: placement.Near{Member: "m1", Label: placement.Label{Name: "zone", Value: "a"}}}},
		{Body: &SetKind{"cart", placement.KindSettings{Strategy: "least-loaded", Attempts: 5}}}, {Body: &SetKind{"cart", placement.KindSettings{Attempts: 16}}},
	}
}

// The bytes are those that the generated code writes for the same message.
func TestEncode_IsProtobuf(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	commands := oneOfEach()
	last := map[placement.Identity]placement.Entry{}
	commands = append(commands, oneOfEachLock()...)
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
	const file = "testdata/commands.hex"
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

func TestEncode_RefusesWhatIsNotValid(t *testing.T) {
	id := placement.Identity{Kind: "cart", Key: "1"}
	long := snapshot.Server{Name: "s", Incarnation: "i", Version: strings.Repeat("v", 256)}
	for _, b := range []Body{
		&Place{Identity: placement.Identity{Kind: "cart"}}, &Confirm{id, 0, 1}, &Confirm{id, 1, 0}, &Fail{id, 0}, &Release{id, 0, 1},
		&Evict{placement.Identity{}, 0}, &Leave{}, &Expire{}, &Drain{}, &Join{}, &RegisterServer{}, &RegisterServer{snapshot.Server{Name: "s"}},
		&RegisterServer{long}, &RemoveServer{}, &RemoveServer{"a/b"}, &Place{id, placement.Near{Member: "a b"}},
		&Place{id, placement.Near{Label: placement.Label{Value: "a"}}}, &SetKind{}, &SetKind{Kind: "cart"}, &SetKind{"a/b", placement.KindSettings{Attempts: 1}},
		&SetKind{"cart", placement.KindSettings{Attempts: placement.AttemptsMax + 1}}, &SetKind{"cart", placement.KindSettings{Strategy: "a b"}},
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
