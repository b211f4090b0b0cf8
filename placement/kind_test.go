package placement

import (
	"strings"
	"testing"
)

func TestKindSettings_Validate(t *testing.T) {
	for _, tt := range []struct {
		s    KindSettings
		want string // part of the error; empty when there is none
	}{
		{KindSettings{}, ""}, {KindSettings{Strategy: "least-loaded", Attempts: AttemptsMax}, ""}, {KindSettings{Strategy: "of-a-later-version/9", Attempts: 1}, ""},
		{KindSettings{Strategy: strings.Repeat("s", StrategyBytesMax+1)}, "strategy: 65 bytes"}, {KindSettings{Strategy: "a\x1bb"}, "strategy: it has"},
		{KindSettings{Attempts: AttemptsMax + 1}, "attempts: 17 is over 16"},
		{KindSettings{Settle: SettleOnPlace, MemberCapacity: 1<<32 - 1, ConfirmMs: ConfirmMsMax}, ""}, {KindSettings{Settle: 3}, "settle: there is no mode 3"},
		{KindSettings{ConfirmMs: ConfirmMsMin - 1}, "confirm time: 99 ms"}, {KindSettings{ConfirmMs: ConfirmMsMax + 1}, "confirm time: 600001 ms"},
		{KindSettings{Require: require("zone=a", "", "disk=")}, ""}, {KindSettings{Require: require("zone=a", "disk=", "rack=1", "arch=arm")}, ""},
		{KindSettings{Require: require("zone=a", "", "zone=b")}, `require: label "zone" is given twice`}, {KindSettings{Require: require("=a")}, `require: label ""`},
		{KindSettings{Require: require("", "=a", "zone=a")}, `require: label ""`}, {KindSettings{Require: require("a b=c")}, "has a space"},
		{KindSettings{Require: require(strings.Repeat("n", LabelBytesMax+1) + "=")}, "name and value have"},
	} {
		if err := tt.s.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.s, err, tt.want)
		}
	}
}

func TestKindSettings_Defaults(t *testing.T) {
	var s KindSettings
	s.Normalize()
	if want := (KindSettings{Strategy: "rendezvous", Attempts: 3, Settle: SettleOnConfirm}); s != want {
		t.Errorf("the defaults are %+v, want %+v: replicas decide by them", s, want)
	}
	for _, tt := range []struct{ set, want KindSettings }{
		{KindSettings{}, s},
		{KindSettings{Attempts: 5}, KindSettings{Strategy: "rendezvous", Attempts: 5, Settle: SettleOnConfirm}},
		{KindSettings{Strategy: "least-loaded"}, KindSettings{Strategy: "least-loaded", Attempts: 3, Settle: SettleOnConfirm}},
		{KindSettings{Settle: SettleOnPlace}, KindSettings{Strategy: "rendezvous", Attempts: 3, Settle: SettleOnPlace}},
		{KindSettings{Require: require("", "zone=a")}, KindSettings{Strategy: "rendezvous", Attempts: 3, Settle: SettleOnConfirm, Require: require("zone=a")}},
		{KindSettings{MemberCapacity: 7, ConfirmMs: 500}, KindSettings{Strategy: "rendezvous", Attempts: 3, Settle: SettleOnConfirm, MemberCapacity: 7, ConfirmMs: 500}},
	} {
		if got := tt.set.Over(s); got != tt.want {
			t.Errorf("%+v over %+v is %+v, want %+v", tt.set, s, got, tt.want)
		}
		if got := (KindSettings{}).Over(tt.want); got != tt.want {
			t.Errorf("nothing over %+v is %+v", tt.want, got)
		}
	}
}

// require makes the labels that a kind requires; an empty text is none.
func require(texts ...string) (labels [RequireMax]Label) {
	for i, text := range texts {
		labels[i].Name, labels[i].Value, _ = strings.Cut(text, "=")
	}
	return labels
}

func TestKindSettings_Normalize_EqualSettingsAreEqualValues(t *testing.T) {
	want := KindSettings{Require: require("arch=arm", "disk=", "zone=a")}
	want.Normalize()
	for _, labels := range [][RequireMax]Label{
		require("zone=a", "disk=", "arch=arm"), require("", "disk=", "zone=a", "arch=arm"), require("arch=arm", "", "zone=a", "disk="), want.Require,
	} {
		s := KindSettings{Require: labels}
		s.Normalize()
		if s != want || len(s.Required()) != 3 {
			t.Errorf("%v becomes %v, want %v", labels, s.Require, want.Require)
		}
	}
}

func TestKindSettings_Missing(t *testing.T) {
	m := &Member{Labels: []Label{{"disk", "ssd"}, {"zone", "a"}}}
	for _, tt := range []struct {
		require [RequireMax]Label
		want    string // the name of the label that is missing
	}{
		{require(), ""}, {require("zone=a"), ""}, {require("zone=a", "disk=ssd"), ""}, {require("zone=b"), "zone"}, {require("zone=a", "rack=1"), "rack"}, {require("zone="), "zone"},
	} {
		s := KindSettings{Require: tt.require}
		if l, missing := s.Missing(m); l.Name != tt.want || missing != (tt.want != "") {
			t.Errorf("%v: missing %v, %t, want %q", tt.require, l, missing, tt.want)
		}
	}
}

func TestSettleModeNamed(t *testing.T) {
	for word, want := range map[string]SettleMode{"on-confirm": SettleOnConfirm, "on-place": SettleOnPlace, "": 0, "On-Place": 0} {
		if got := SettleModeNamed(word); got != want || want != 0 && got.String() != word {
			t.Errorf("SettleModeNamed(%q) = %d", word, got)
		}
	}
}
