package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
)

// verdict is how the mutant was found, in words.
func (r *row) verdict() string {
	if r.checker == "" {
		return fmt.Sprintf("not by %d seeds", r.seed)
	}
	if r.checker == r.Test {
		return r.Test
	}
	if r.checker == "run" && r.Refusal != "" {
		return fmt.Sprintf("run, seed %d: a server ends, and says %q", r.seed, r.Refusal)
	}
	return fmt.Sprintf("%s, seed %d", r.checker, r.seed)
}

func printTable(rows []row) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "MUTANT\tSCENARIO\tFOUND BY\tSECONDS\tWHY")
	for i := range rows {
		r := &rows[i]
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%.0f\t%s\n", r.Name, r.Scenario, r.verdict(), r.took.Seconds(), r.why)
	}
	return table.Flush()
}

// What stands around the table in a file.
const (
	tableBegin = "<!-- the table of mutants: `make mutants` writes it -->\n"
	tableEnd   = "<!-- the end of the table of mutants -->\n"
)

// markdown is the row as the table has it.
func (r *row) markdown() string {
	verdict := r.verdict()
	switch {
	case r.checker != "" && r.checker == r.Test && r.Gap != "":
		verdict += "; not by sim: " + r.Gap
	case r.checker == "" && r.Gap != "":
		verdict = "**" + verdict + "**: " + r.Gap
	case r.checker == "" && r.Name != unbroken.Name:
		verdict = "**" + verdict + "**"
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %s | %.0f |\n", r.Name, r.About, r.Scenario, r.budget, verdict, r.took.Seconds())
}

// writeTable puts rows into the table in a file. Those of mutants that were not tried now stay as they are.
func writeTable(path string, rows []row) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := withTable(string(b), rows)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// withTable is a text with rows in its table.
func withTable(text string, rows []row) (string, error) {
	before, rest, begins := strings.Cut(text, tableBegin)
	old, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		return "", fmt.Errorf("there is no table: it stands between %q and %q", tableBegin, tableEnd)
	}
	lines := tableLines(old)
	for i := range rows {
		lines[rows[i].Name] = rows[i].markdown()
	}
	var b strings.Builder
	b.WriteString("| mutant | what is taken out | scenario | seeds at most | found by | seconds |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, m := range everyone() {
		line, ok := lines[m.Name]
		if !ok {
			line = fmt.Sprintf("| %s | %s | | | not tried | |\n", m.Name, m.About)
		}
		b.WriteString(line)
	}
	return before + tableBegin + b.String() + tableEnd + after, nil
}

// tableLines are the rows of a table by the name in the first column.
func tableLines(table string) map[string]string {
	lines := map[string]string{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			lines[strings.TrimSpace(cells[1])] = line
		}
	}
	return lines
}

// foundBySeed is what the table has of a mutant that a seed of the simulation found.
var foundBySeed = regexp.MustCompile(`^\| (\S+) \|.*\| sim \| \d+ \| \w+, seed (\d+)`)

// seedsOfTable is which seeds of the simulation found mutants, by their names, as the table in a file has it.
func seedsOfTable(path string) (map[string]uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	seeds := map[string]uint64{}
	for line := range strings.Lines(string(b)) {
		if x := foundBySeed.FindStringSubmatch(line); x != nil {
			if seeds[x[1]], err = strconv.ParseUint(x[2], 10, 64); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, x[1], err)
			}
		}
	}
	if len(seeds) == 0 {
		return nil, fmt.Errorf("%s has no mutant that a seed of the simulation found", path)
	}
	return seeds, nil
}

// everyone is the berth without a fault, and all mutants.
func everyone() []mutants.Mutant { return append([]mutants.Mutant{unbroken}, mutants.All()...) }
