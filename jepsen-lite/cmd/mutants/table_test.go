package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
)

// Whoever adds a mutant tries it: `make mutants` writes the row.
func TestReadme_HasEveryMutant(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := withTable(string(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(b) {
		t.Error("the table of mutants in README.md is not that of package mutants: make mutants writes it")
	}
}

func TestWithTable_SomeRows_TheOthersStay(t *testing.T) {
	text := "before\n" + tableBegin + "| head |\n| no-wait | old | sim | 1 | owner, seed 1 | 2 |\n| gone | old | sim | 1 | owner, seed 1 | 2 |\n" + tableEnd + "after\n"
	r := row{Mutant: mutants.Mutant{Name: "stale-reads", About: "reads are stale", Scenario: simulation}, budget: 7, took: 3 * time.Second, found: found{checker: "order", seed: 2}}
	got, err := withTable(text, []row{r})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n" + tableBegin, tableEnd + "after\n", "| no-wait | old | sim | 1 | owner, seed 1 | 2 |\n", "| stale-reads | reads are stale | sim | 7 | order, seed 2 | 3 |\n", "not tried"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "| gone |") {
		t.Error("a mutant that is none any more stays in the table")
	}
	if _, err := withTable("a text", nil); err == nil {
		t.Error("a text without a table is taken")
	}
}
