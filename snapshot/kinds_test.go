package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestKinds_AreFoundByTheirNames(t *testing.T) {
	names := []string{"a", "ab", "abc", "abcd", "abcdefg", "abcdefgh", "bcdefgha", "0123456789abcdef", "0123456789abcdefg", strings.Repeat("k", 64)}
	for i := range 500 { // more than there are places near by
		names = append(names, fmt.Sprint("kind-", i))
	}
	var table *kinds
	var before []*kinds
	for i, name := range names {
		if _, ok := table.get(name); ok {
			t.Fatalf("%q is there before it was added", name)
		}
		before = append(before, table)
		table = table.with(name, KindNumber(i))
	}
	for i, name := range names {
		if n, ok := table.get(name); !ok || n != KindNumber(i) {
			t.Errorf("%q is %d, %t, want %d", name, n, ok, i)
		}
		if _, ok := before[i].get(name); ok {
			t.Errorf("%q came into the table before it", name)
		}
	}
	for _, name := range []string{"", "abce", "0123456789abcdee", "x123456789abcdef", "abcdefg\x00", strings.Repeat("k", 63)} {
		if n, ok := table.get(name); ok {
			t.Errorf("%q is found as %d", name, n)
		}
	}
	got := slices.Collect(table.names())
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("the names are %q", got)
	}
}
