package main

import (
	"bytes"
	"slices"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/runner"
)

// Scenarios that build a berth of their own are not run in the place of another one.
func TestFaultRun_AnotherBinary_IsNotTakenForClocks(t *testing.T) {
	var said bytes.Buffer
	f := faultRun{app: &app{err: &said}, all: true}
	all, err := f.choose(nil)
	if err != nil || len(all) != len(runner.Scenarios()) || said.Len() > 0 {
		t.Errorf("%d scenarios, %v, said %s", len(all), err, &said)
	}
	f.other, f.config.Binary = true, "./other"
	rest, err := f.choose(nil)
	if err != nil || len(rest) == 0 || len(rest) == len(all) {
		t.Errorf("with another binary %d of %d, %v", len(rest), len(all), err)
	}
	for _, s := range all {
		left := !slices.ContainsFunc(rest, func(r runner.Scenario) bool { return r.Name == s.Name })
		if said := bytes.Contains(said.Bytes(), []byte(s.Name+" is left out")); left != s.Clocks() || said != left {
			t.Errorf("%s, about clocks: %t, is left out: %t, which is said: %t", s.Name, s.Clocks(), left, said)
		}
	}
}

// A run in a process of its own gets a binary only when one was named: otherwise it would be refused where the berth is built.
func TestFaultRun_Apart_NamesABinaryThatWasNamed(t *testing.T) {
	for _, other := range []bool{false, true} {
		f := faultRun{app: &app{}, other: other}
		if got := slices.Contains(f.arguments(runner.Config{Binary: "./berth"}), "--binary"); got != other {
			t.Errorf("named: %t, passed on: %t", other, got)
		}
	}
}
