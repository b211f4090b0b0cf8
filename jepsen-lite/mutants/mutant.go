package mutants

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
)

// Mutant is one fault.
type Mutant struct {
	// Name is what it is called, and About what is taken out.
	Name, About string
	// Scenario is the one that must find it, by one of the Checkers: "run" stands for a run that does not come to its end, as when
	// servers refuse their disks.
	Scenario string
	Checkers []string

	patches []patch
}

// patch is a change of a file, by its path in the module.
type patch struct{ file, text, with string }

// All are all mutants.
func All() []Mutant {
	return []Mutant{
		{
			Name: "no-self-fence", About: "members and holders of locks go on when their lease has run out",
			Scenario: "pauses-of-owners", Checkers: []string{"owner", "lock"},
			patches: []patch{{"lookupclient/life.go", "return l.lease().Left(lease.Instant(l.now()))", "return time.Hour"}},
		},
		{
			Name: "early-expiry", About: "the leader gives members a quarter of the time that it promised them",
			Scenario: "partitions", Checkers: []string{"owner"},
			patches: []patch{{"raftnode/lease/members.go", "full: Stretch(maxTTL)", "full: Stretch(maxTTL) / 4"}},
		},
		{
			Name: "stale-reads", About: "every server answers look-ups from what it has, without a proof that it is the newest",
			Scenario: "partitions", Checkers: []string{"order", "linearizable", "durable"},
			patches: []patch{{"raftnode/reads.go", "	last := error(group.ErrNotLeader)\n	for {\n", "	last := error(group.ErrNotLeader)\n	for {\n		if g := r.node.group(); g != nil {\n			return g.View(), nil\n		}\n"}},
		},
		{
			Name: "no-sync", About: "nothing is synced to the disk",
			Scenario: "power-loss", Checkers: []string{"run", "durable", "order", "linearizable", "log"},
			patches: []patch{
				{"raftnode/internal/storage/bolt.go", "&bbolt.Options{\n", "&bbolt.Options{\n\t\tNoSync: true,\n"},
				{"raftnode/internal/storage/log.go", "BoltOptions: boltOptions()", "BoltOptions: boltOptions(), NoSync: true"},
			},
		},
	}
}

// Build builds a berth with the fault, of the module in root, into a file. It fails with a *overlay.PatternError when the tree
// has changed where the fault is.
func (m *Mutant) Build(root, output string) error {
	var files overlay.Files
	for _, p := range m.patches {
		if err := files.Patch(filepath.Join(root, p.file), p.text, p.with); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	dir, err := os.MkdirTemp("", "berth-mutant-")
	if err != nil {
		return err
	}
	path, err := files.Write(dir)
	if err == nil {
		if output, err = filepath.Abs(output); err == nil {
			c := exec.Command("go", "build", "-overlay", path, "-o", output, "./cmd/berth")
			c.Dir = root
			if out, berr := c.CombinedOutput(); berr != nil {
				err = fmt.Errorf("%s: go build: %w\n%s", m.Name, berr, out)
			}
		}
	}
	return errors.Join(err, os.RemoveAll(dir))
}
