package runner

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A small file beside a large one is damaged as often, each time in one place, and nothing else is.
func TestDamage_LargeAndSmallFile_BothAreHit(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{"log.db": bytes.Repeat([]byte{7}, 1<<20), "snapshots/1": bytes.Repeat([]byte{7}, 100), "empty": nil}
	if err := os.Mkdir(filepath.Join(dir, "snapshots"), 0o700); err != nil {
		t.Fatal(err)
	}
	cut, flipped := map[string]int{}, map[string]int{}
	for seed := range uint64(60) {
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		what, err := damage(dir, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range files {
			now, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			named := strings.HasPrefix(what, name)
			switch {
			case bytes.Equal(now, b):
				if named {
					t.Errorf("%s: it is as it was", what)
				}
			case !named:
				t.Errorf("%s: and %s was changed", what, name)
			case len(now) < len(b):
				cut[name]++
			default:
				flipped[name]++
			}
		}
	}
	for _, name := range []string{"log.db", "snapshots/1"} {
		if cut[name] < 3 || flipped[name] < 8 {
			t.Errorf("of 60 damages %s was cut off by %d and had a bit flipped by %d", name, cut[name], flipped[name])
		}
	}
}

func TestDamage_NoFiles_IsSaid(t *testing.T) {
	if what, err := damage(t.TempDir(), rand.New(rand.NewPCG(1, 1))); err != nil || !strings.HasPrefix(what, "nothing") {
		t.Errorf("%q, %v", what, err)
	}
}

// What a scenario is there to damage has to be there: a server has snapshots when it makes them.
func TestScenarios_Damage_ServersMakeSnapshots(t *testing.T) {
	if s, ok := Find("damage"); !ok || !s.Compact {
		t.Errorf("damage: %t, compact is %t", ok, s.Compact)
	}
}
