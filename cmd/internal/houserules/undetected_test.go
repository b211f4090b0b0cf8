package houserules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestUndetected_NamesTestsThatAreThere holds that what the Makefile leaves out under the race detector are tests and scripts of these
// names, so that the list does not outlive them.
func TestUndetected_NamesTestsThatAreThere(t *testing.T) {
	const root = "../../.."
	b, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(b), "\nUNDETECTED := ")
	list, _, _ = strings.Cut(list, "\n\n")
	if len(leftOut(list)) < 10 {
		t.Fatalf("the list has %q alone", leftOut(list))
	}
	for _, name := range notThere(leftOut(list), namesOf(t, root)) {
		t.Errorf("%s is no test, and no script", name)
	}
}

// leftOut are the names in a list of patterns.
func leftOut(list string) []string { return regexp.MustCompile(`\w{2,}`).FindAllString(list, -1) }

func notThere(names, there []string) (missing []string) {
	for _, name := range names {
		if !slices.Contains(there, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// namesOf are the tests below a directory, and the scripts.
func namesOf(t *testing.T, root string) (names []string) {
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if script, ok := strings.CutSuffix(filepath.Base(path), ".txtar"); ok {
			names = append(names, script)
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(b, -1) {
			names = append(names, string(found[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUndetectedCanFail(t *testing.T) {
	got := notThere(leftOut("^(TestA_B|\\\nTestC)$$|^TestScripts$$/^(one|two)$$"), []string{"TestA_B", "TestScripts", "two"})
	if want := []string{"TestC", "one"}; !slices.Equal(got, want) {
		t.Errorf("missing: %q, want %q", got, want)
	}
}
