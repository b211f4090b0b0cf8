package placement

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func testMember(id string, inc Incarnation, kinds ...string) *Member {
	m := &Member{ID: MemberID(id), Incarnation: inc, Address: "10.0.0.1:9000", Kinds: kinds, State: MemberLive}
	m.Normalize()
	return m
}

func TestMember_Validate(t *testing.T) {
	many := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprint("k", i))
		}
		return out
	}
	tests := []struct {
		name   string
		change func(*Member)
		want   string // part of the error; empty when there is none
	}{
		{"good", func(*Member) {}, ""},
		{"IPv6", func(m *Member) { m.Address = "[::1]:9000" }, ""},
		{"host name", func(m *Member) { m.Address = "host-2.berth.svc:9000" }, ""},
		{"no name", func(m *Member) { m.ID = "" }, "name: 0 bytes"},
		{"long name", func(m *Member) { m.ID = MemberID(strings.Repeat("m", 65)) }, "name: 65 bytes"},
		{"bad name", func(m *Member) { m.ID = "a b" }, `' ' at byte 1`},
		{"no port", func(m *Member) { m.Address = "10.0.0.1" }, "address: want host:port"},
		{"no host", func(m *Member) { m.Address = ":9000" }, "address: want host:port"},
		{"port zero", func(m *Member) { m.Address = "h:0" }, "1 to 65535"},
		{"port large", func(m *Member) { m.Address = "h:65536" }, "1 to 65535"},
		{"bare IPv6", func(m *Member) { m.Address = "::1:9000" }, "in brackets"},
		{"space in address", func(m *Member) { m.Address = "a b:1" }, "a space"},
		{"long address", func(m *Member) { m.Address = strings.Repeat("h", 255) + ":1" }, "at most 255"},
		{"no kinds", func(m *Member) { m.Kinds = nil }, "kinds: 0 kinds"},
		{"many kinds", func(m *Member) { m.Kinds = many(MemberKindsMax + 1) }, "kinds: 1025 kinds"},
		{"bad kind", func(m *Member) { m.Kinds = []string{"a/b"} }, "the kind has '/'"},
		{"label without name", func(m *Member) { m.Labels = []Label{{"", "x"}} }, "labels: label"},
		{"label twice", func(m *Member) { m.Labels = []Label{{"z", "1"}, {"z", "2"}} }, "given twice"},
		{"many labels", func(m *Member) { m.Labels = make([]Label, MemberLabelsMax+1) }, "33 labels"},
		{"heavy", func(m *Member) { m.Weight = WeightMax + 1 }, "weight: 1048577"},
	}
	for _, tt := range tests {
		m := testMember("m1", 1, "cart")
		tt.change(m)
		err := m.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: Validate() = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestMember_Normalize_GivesEqualDescriptionsEqualValues(t *testing.T) {
	m := Member{ID: "m", Kinds: []string{"b", "a", "b"}, Labels: []Label{{"z", "1"}, {"a", "2"}}}
	m.Normalize()
	if !slices.Equal(m.Kinds, []string{"a", "b"}) || m.Labels[0].Name != "a" || m.Weight != WeightDefault {
		t.Errorf("Normalize made %+v", m)
	}
	if !m.Hosts("a") || !m.Hosts("b") || m.Hosts("c") {
		t.Errorf("Hosts is wrong for %v", m.Kinds)
	}
}

func TestRoster(t *testing.T) {
	var r Roster
	r1 := r.With(testMember("b", 1, "cart")).With(testMember("a", 2, "cart", "room"))
	r2 := r1.With(testMember("b", 3, "room"))
	if r.Len() != 0 || r1.Len() != 2 || r2.Len() != 2 {
		t.Fatalf("lengths are %d, %d, %d, want 0, 2, 2", r.Len(), r1.Len(), r2.Len())
	}
	if r1.Find("b").Incarnation != 1 || r2.Find("b").Incarnation != 3 || r2.Find("c") != nil {
		t.Errorf("Find answers %v, %v, %v", r1.Find("b"), r2.Find("b"), r2.Find("c"))
	}
	if got := r2.Without("b", 1); got.Len() != 2 {
		t.Errorf("Without of an older incarnation removed the newer one")
	}
	if got := r2.Without("b", 3); got.Len() != 1 || got.Find("b") != nil || r2.Find("b") == nil {
		t.Errorf("Without(b, 3) left %d members", got.Len())
	}
	drained := *r2.Find("a")
	drained.State = MemberDraining
	if got := r2.With(&drained).Eligible(nil, "room"); len(got) != 1 || got[0].ID != "b" {
		t.Errorf("Eligible(room) = %v, want b alone", got)
	}
}

// Of one name one incarnation stands for it at the most, and what is barred never lives on.
func TestMemberState_WhatItMeans(t *testing.T) {
	type means struct{ known, alive, stands, leaving, barred bool }
	for s, want := range map[MemberState]means{
		0:                {},
		MemberLive:       {known: true, alive: true, stands: true},
		MemberDraining:   {known: true, alive: true, stands: true, leaving: true},
		MemberLeft:       {known: true},
		MemberExpired:    {known: true},
		MemberBlocked:    {known: true, alive: true, stands: true, leaving: true, barred: true},
		MemberSuperseded: {known: true, alive: true},
		MemberBarred:     {known: true, alive: true, leaving: true, barred: true},
		MemberBarred + 1: {},
	} {
		if got := (means{s.Known(), s.Alive(), s.Stands(), s.Leaving(), s.Barred()}); got != want || (s.String() == "unknown") == want.known {
			t.Errorf("%v: %+v, want %+v", s, got, want)
		}
	}
}
