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
		{KindSettings{}, ""}, {KindSettings{"least-loaded", AttemptsMax}, ""}, {KindSettings{"of-a-later-version/9", 1}, ""},
		{KindSettings{strings.Repeat("s", StrategyBytesMax+1), 1}, "strategy: 65 bytes"}, {KindSettings{"a\x1bb", 1}, "strategy: it has"},
		{KindSettings{"", AttemptsMax + 1}, "attempts: 17 is over 16"},
	} {
		if err := tt.s.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.s, err, tt.want)
		}
	}
}

func TestKindSettings_Defaults(t *testing.T) {
	var s KindSettings
	s.Normalize()
	if want := (KindSettings{"rendezvous", 3}); s != want {
		t.Errorf("the defaults are %+v, want %+v: replicas decide by them", s, want)
	}
	for _, tt := range []struct{ set, want KindSettings }{
		{KindSettings{}, s}, {KindSettings{Attempts: 5}, KindSettings{"rendezvous", 5}}, {KindSettings{Strategy: "least-loaded"}, KindSettings{"least-loaded", 3}},
	} {
		if got := tt.set.Over(s); got != tt.want {
			t.Errorf("%+v over %+v is %+v, want %+v", tt.set, s, got, tt.want)
		}
	}
}
