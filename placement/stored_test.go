package placement

import (
	"errors"
	"strings"
	"testing"
)

func TestStoredActivation_Validate(t *testing.T) {
	for _, tt := range []struct {
		a     StoredActivation
		field string // empty when it is valid
	}{
		{StoredActivation{"m1", "pid"}, ""},
		{StoredActivation{"m1", strings.Repeat("é", RefBytesMax/2)}, ""},
		{StoredActivation{"", "pid"}, "name"},
		{StoredActivation{"m/1", "pid"}, "name"},
		{StoredActivation{"m1", ""}, "ref"},
		{StoredActivation{"m1", "a\nb"}, "ref"},
		{StoredActivation{"m1", "\xff"}, "ref"},
		{StoredActivation{"m1", strings.Repeat("p", RefBytesMax+1)}, "ref"},
	} {
		err := tt.a.Validate()
		var e *MemberError
		if tt.field == "" && err != nil || tt.field != "" && (!errors.As(err, &e) || e.Field != tt.field) {
			t.Errorf("Validate(%.40q) = %v, want a fault of %q", tt.a, err, tt.field)
		}
	}
}
