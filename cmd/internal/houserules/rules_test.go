package houserules

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seed13d31b7f/berth"

// mayImport says which packages of the module each one may import, outside its tests. What ends in "/" stands for all
// below. A package that is not here fails the test: it has to be given its place in the house.
var mayImport = map[string][]string{
	"placement":                nil,
	"placement/placementtest":  {"placement"},
	"snapshot":                 {"placement", "snapshot/snapshotpb"},
	"snapshot/snapshotpb":      nil,
	"fsm":                      {"placement", "snapshot"},
	"fsm/commandpb":            nil,
	"raftnode/lease":           {"placement"},
	"lookupclient/apiv1":       nil,
	"lookupclient":             {"placement", "lookupclient/apiv1", "raftnode/lease"},
	"lookupclient/contract":    {"placement", "lookupclient", "lookupclient/apiv1"},
	"lookupclient/fence":       {"placement"},
	"lookupclient/lookuptest":  {"lookupclient", "lookupclient/apiv1", "raftnode", "raftnode/lease", "raftnode/raftnodetest"},
	"raftnode/internal/peerv1": nil,
	"raftnode/internal/gateway": {
		"lookupclient/apiv1",
	},
	"raftnode/internal/port":    nil,
	"raftnode/internal/storage": {"snapshot"},
	"raftnode/internal/events":  {"placement", "snapshot", "fsm"},
	"raftnode/internal/group":   {"placement", "snapshot", "fsm", "raftnode/lease", "raftnode/internal/events", "raftnode/internal/storage"},
	"raftnode/internal/leader":  {"placement", "snapshot", "fsm", "raftnode/lease", "raftnode/internal/group"},
	"raftnode/internal/api": {
		"placement", "snapshot", "fsm", "lookupclient/apiv1", "raftnode/internal/events", "raftnode/internal/group", "raftnode/internal/leader", "raftnode/internal/peerv1",
		"raftnode/lease",
	},
	"raftnode":                  {"placement", "snapshot", "fsm", "lookupclient/apiv1", "raftnode/lease", "raftnode/internal/"},
	"raftnode/raftnodetest":     {"snapshot", "lookupclient/apiv1", "raftnode", "raftnode/lease"},
	"cmd/internal/output":       nil,
	"cmd/internal/telemetry":    nil,
	"internal/freeport":         nil,
	"internal/scratch":          nil,
	"internal/underrace":        nil,
	"cmd/internal/localcluster": {"lookupclient", "lookupclient/apiv1", "internal/freeport"},
	"cmd/internal/houserules":   nil,
	"cmd/berth":                 {"placement", "snapshot", "fsm", "lookupclient", "lookupclient/apiv1", "raftnode", "cmd/internal/", "jepsen-lite/"},
	"jepsen-lite":               nil,
	"jepsen-lite/mutants":       {"jepsen-lite/overlay", "jepsen-lite/sim"},
	"jepsen-lite/cmd/mutants":   {"jepsen-lite/check", "jepsen-lite/mutants", "jepsen-lite/procs", "jepsen-lite/runner", "jepsen-lite/sim", "internal/scratch"},
	"jepsen-lite/history":       nil,
	"jepsen-lite/replay":        {"placement", "snapshot", "fsm", "raftnode"},
	"jepsen-lite/check":         {"placement", "jepsen-lite/history", "jepsen-lite/replay"},
	"jepsen-lite/report":        {"jepsen-lite/check", "jepsen-lite/history"},
	"jepsen-lite/judge":         {"jepsen-lite/check", "jepsen-lite/history", "jepsen-lite/replay", "jepsen-lite/report", "jepsen-lite/rundir"},
	"jepsen-lite/checktest":     {"placement", "snapshot", "fsm", "jepsen-lite/history", "jepsen-lite/replay"},
	"jepsen-lite/rundir":        nil,
	"jepsen-lite/overlay":       nil,
	"jepsen-lite/clockskew":     {"jepsen-lite/overlay"},
	"jepsen-lite/lossyfs":       nil,
	"jepsen-lite/sim": {
		"placement", "lookupclient", "lookupclient/apiv1", "raftnode", "raftnode/lease", "raftnode/raftnodetest",
		"jepsen-lite/history", "jepsen-lite/check", "jepsen-lite/judge", "jepsen-lite/overlay", "jepsen-lite/replay", "jepsen-lite/workload",
	},
	"jepsen-lite/cmd/sim":     {"jepsen-lite/mutants", "jepsen-lite/procs", "jepsen-lite/sim", "internal/scratch"},
	"jepsen-lite/cmd/lossyfs": {"jepsen-lite/lossyfs"},
	"jepsen-lite/switchnet":   {"jepsen-lite/procs"},
	"jepsen-lite/procs":       nil,
	"jepsen-lite/nemesis":     {"jepsen-lite/switchnet"},
	"jepsen-lite/workload":    {"placement", "snapshot", "lookupclient", "lookupclient/apiv1", "jepsen-lite/history"},
	"jepsen-lite/runner": {
		"placement", "snapshot", "lookupclient", "lookupclient/apiv1", "jepsen-lite/history", "jepsen-lite/rundir", "jepsen-lite/switchnet", "jepsen-lite/procs",
		"jepsen-lite/lossyfs", "jepsen-lite/nemesis", "jepsen-lite/workload", "jepsen-lite/check",
		"jepsen-lite/replay", "jepsen-lite/judge", "jepsen-lite/clockskew", "internal/freeport", "internal/scratch",
	},
}

// pure are the packages that depend on their arguments alone.
var pure = []string{"placement", "snapshot", "fsm", "raftnode/lease"}

// impure are what pure packages must not import. Of time they have durations alone, which notPure sees to; of context the
// name alone, which waits sees to.
var impure = []string{
	"bufio", "crypto/rand", "log", "log/slog", "math", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec",
	"os/signal", "runtime", "sync", "sync/atomic", "syscall", "testing", "unique",
}

// listed is a package as `go list` has it.
type listed struct {
	ImportPath, Dir, Doc string
	GoFiles, Imports     []string
}

func (p *listed) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// files parses the package's files, without its tests.
func (p *listed) files(t *testing.T) (*token.FileSet, []*ast.File) {
	t.Helper()
	set := token.NewFileSet()
	var files []*ast.File
	for _, f := range p.GoFiles {
		file, err := parser.ParseFile(set, filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return set, files
}

func packages(t *testing.T) []*listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []*listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := &listed{}
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 15 {
		t.Fatalf("there are %d packages: the rules would hold nothing", len(list))
	}
	return list
}

func TestImportDirections(t *testing.T) {
	found := map[string]bool{}
	for _, p := range packages(t) {
		found[p.name()] = true
		allowed, ok := mayImport[p.name()]
		if !ok {
			t.Errorf("%s has no place in the house: give it one in mayImport", p.name())
		}
		for _, i := range importFaults(p, allowed) {
			t.Errorf("%s must not import %s", p.name(), i)
		}
	}
	for name := range mayImport {
		if !found[name] {
			t.Errorf("%s has a place in the house, and does not exist", name)
		}
	}
}

// importFaults are the imports of a package, from this module, that are not allowed.
func importFaults(p *listed, allowed []string) []string {
	var faults []string
	for _, i := range p.Imports {
		name, ours := strings.CutPrefix(i, module+"/")
		if ours && !slices.ContainsFunc(allowed, func(a string) bool { return name == a || strings.HasSuffix(a, "/") && strings.HasPrefix(name, a) }) {
			faults = append(faults, name)
		}
	}
	return faults
}

func TestPurity(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, p.name()) {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(impure, i) {
				t.Errorf("%s is pure and imports %s", p.name(), i)
			}
		}
		set, files := p.files(t)
		for _, f := range files {
			for _, n := range notPure(f) {
				t.Errorf("%v: %s is pure, and this is not", set.Position(n.Pos()), p.name())
			}
			if waits(f) {
				t.Errorf("%v: %s is pure and imports context beside code", set.Position(f.Pos()), p.name())
			}
		}
	}
}

// waits says whether a file has context beside code. A file of types alone may have it: contracts name it, and do nothing.
func waits(f *ast.File) bool {
	named := slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"context"` })
	return named && slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
		g, ok := d.(*ast.GenDecl)
		return !ok || g.Tok != token.IMPORT && g.Tok != token.TYPE
	})
}

// durations are what pure packages may have of package time.
var durations = []string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}

// notPure finds goroutines, channels, floating point and the clock.
func notPure(f *ast.File) []ast.Node {
	var found []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			found = append(found, n)
		case *ast.Ident:
			if x.Name == "float64" || x.Name == "float32" {
				found = append(found, n)
			}
		case *ast.BasicLit:
			if x.Kind == token.FLOAT {
				found = append(found, n)
			}
		case *ast.SelectorExpr:
			if of, ok := x.X.(*ast.Ident); ok && of.Name == "time" && !slices.Contains(durations, x.Sel.Name) {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}

// TestVerifyLeader holds that nobody believes the library's check of leadership: it says yes to leaders that are none.
func TestVerifyLeader(t *testing.T) {
	for _, p := range packages(t) {
		set, files := p.files(t)
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if x, ok := n.(*ast.SelectorExpr); ok && x.Sel.Name == "VerifyLeader" {
					t.Errorf("%v calls VerifyLeader", set.Position(x.Pos()))
				}
				return true
			})
		}
	}
}

func TestPackagesExplainThemselves(t *testing.T) {
	generated := []string{"snapshot/snapshotpb", "fsm/commandpb", "lookupclient/apiv1", "raftnode/internal/peerv1", "raftnode/internal/gateway"}
	for _, p := range packages(t) {
		if slices.Contains(generated, p.name()) {
			continue
		}
		words := 0
		_, files := p.files(t)
		for _, f := range files {
			if f.Doc == nil {
				continue
			}
			doc := f.Doc.Text()
			words += len(strings.Fields(doc))
			if !strings.HasPrefix(doc, "Package ") && !strings.HasPrefix(doc, "Command ") {
				t.Errorf("%s: its doc comment begins with %.40q", p.name(), doc)
			}
		}
		if words < 40 {
			t.Errorf("%s: its doc comment has %d words: it does not teach the package", p.name(), words)
		}
	}
	for _, name := range []string{"placement", "snapshot", "fsm", "raftnode", "lookupclient"} {
		if i, err := os.Stat(filepath.Join("..", "..", "..", name, "DESIGN.md")); err != nil || i.Size() < 1000 {
			t.Errorf("%s has no DESIGN.md with its decisions: %v", name, err)
		}
	}
}

// TestRulesCanFail shows that the rules see what they are there for.
func TestRulesCanFail(t *testing.T) {
	p := &listed{ImportPath: module + "/fsm", Imports: []string{"fmt", module + "/placement", module + "/raftnode", module + "/raftnode/internal/port"}}
	if got := importFaults(p, []string{"placement"}); !slices.Equal(got, []string{"raftnode", "raftnode/internal/port"}) {
		t.Errorf("import faults: %q", got)
	}
	if got := importFaults(p, []string{"placement", "raftnode", "raftnode/internal/"}); got != nil {
		t.Errorf("import faults of what is allowed: %q", got)
	}
	for source, want := range map[string]int{
		"go f()": 1, "time.Sleep(time.Second)": 1, "_ = time.Now().Add(time.Hour)": 1, "var d time.Duration; _ = d": 0, "_ = 1.5": 1, "var x float64; _ = x": 1,
		"c := make(chan int); c <- 1": 2, "select {}": 1, "_ = 3": 0,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f() {\n"+source+"\n}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := notPure(f); len(got) != want {
			t.Errorf("%s: %d faults, want %d", source, len(got), want)
		}
	}
	for source, want := range map[string]bool{
		`import "context"; type X interface{ F(context.Context) }`: false, `import "context"; func f(context.Context) {}`: true,
		`import "context"; var x = context.TODO()`: true, `import "errors"; func f() {}`: false,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := waits(f); got != want {
			t.Errorf("%s: %t, want %t", source, got, want)
		}
	}
}
