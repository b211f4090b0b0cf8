package main

import (
	"slices"
	"testing"
)

func TestSmaller_FailsWithSome_ThoseAreLeft(t *testing.T) {
	for _, c := range []struct {
		need, out, want []int // of ten
		tries           int
	}{
		{nil, nil, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 1},
		{[]int{3}, nil, []int{0, 1, 2, 4, 5, 6, 7, 8, 9}, 9},
		{[]int{0, 9}, []int{4}, []int{1, 2, 3, 4, 5, 6, 7, 8}, 16},
	} {
		tries := 0
		got := smaller(10, c.out, func(out []int) bool {
			tries++
			return !slices.ContainsFunc(c.need, func(n int) bool { return slices.Contains(out, n) })
		})
		if !slices.Equal(got, c.want) || tries > c.tries {
			t.Errorf("%v are needed: left out are %v, after %d tries; want %v, %d", c.need, got, tries, c.want, c.tries)
		}
	}
}

func TestNumbers_Lists_AreReadAndRefused(t *testing.T) {
	for _, s := range []string{"", "3", "0,12,7"} {
		if n, err := numbers(s); err != nil || list(n) != s {
			t.Errorf("%q: %v, %v", s, n, err)
		}
	}
	for _, s := range []string{"x", "1,", "1 2"} {
		if n, err := numbers(s); err == nil {
			t.Errorf("%q: %v", s, n)
		}
	}
}
