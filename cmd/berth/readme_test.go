package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
)

// TestReadme_Session types what the README's session shows, and wants what it shows but for the numbers.
func TestReadme_Session(t *testing.T) {
	data := t.TempDir()
	dev := filepath.Join(data, "berth", "dev")
	t.Cleanup(func() { _, _ = localcluster.Stop(dev) })
	steps := session(t)
	if len(steps) < 6 {
		t.Fatalf("the session has %d steps", len(steps))
	}
	for _, s := range steps {
		var got string
		if url, ok := strings.CutPrefix(s.command, "curl -s localhost:7422/"); ok {
			state, err := localcluster.Load(dev)
			if err != nil {
				t.Fatal(err)
			}
			got = fetch(t, "http://"+state.Servers[0].HTTP+"/"+url)
		} else {
			args := strings.Fields(s.command)
			if s.command == "berth dev --detach" {
				args = append(args, "--port", "0") // others may run on this machine
			}
			cmd := exec.Command(binary, args[1:]...)
			cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+data)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, _ := cmd.Output() // what it prints says whether it failed
			if got = string(out); got == "" {
				got = stderr.String()
			}
		}
		if shape(got) != shape(s.output) {
			t.Errorf("$ %s\n%s\nthe README has\n%s", s.command, got, s.output)
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type sessionStep struct{ command, output string }

// session reads the README's terminal session.
func session(t *testing.T) []sessionStep {
	t.Helper()
	_, text, ok := strings.Cut(readme(t), "```console\n")
	text, _, closed := strings.Cut(text, "```")
	if !ok || !closed {
		t.Fatal("the README has no session")
	}
	var steps []sessionStep
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, sessionStep{command: strings.TrimSpace(command)})
			continue
		}
		steps[len(steps)-1].output += line
	}
	return steps
}

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	numbers = regexp.MustCompile(`\d[\d,.]*`)
	spaces  = regexp.MustCompile(`[ \t]+`)
	roles   = regexp.MustCompile(`(?i)leader|follower`)
	path    = regexp.MustCompile(`/\S+/berth/dev`)
)

// shape is a text without what differs from run to run.
func shape(s string) string {
	s = path.ReplaceAllString(s, "DIR")
	s = roles.ReplaceAllString(numbers.ReplaceAllString(s, "#"), "ROLE")
	return strings.TrimSpace(spaces.ReplaceAllString(s, " "))
}

// TestReadme_Example holds that the README's program is the beginning of the example that the tests run.
func TestReadme_Example(t *testing.T) {
	_, text, _ := strings.Cut(readme(t), "```go\n")
	text, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("the README has no program")
	}
	b, err := os.ReadFile("../../lookupclient/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if example := strings.ReplaceAll(string(b), "\n\t", "\n"); !strings.Contains(example, strings.TrimSpace(text)) {
		t.Error("the README's program is not that of lookupclient/example_test.go")
	}
}

// TestReadme_Links holds that what the README points to is there.
func TestReadme_Links(t *testing.T) {
	n := 0
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(readme(t), -1) {
		if strings.HasPrefix(m[1], "https://") {
			continue
		}
		n++
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("the README points to %s: %v", m[1], err)
		}
	}
	if n < 8 {
		t.Errorf("%d links were found", n)
	}
}
