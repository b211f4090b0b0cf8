package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) demoCommand() *cobra.Command {
	d := &demo{app: a, placed: map[placement.Identity]owner{}}
	c := command("demo", "Show the main job: place real files, kill the leader, prove that nothing was lost", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return d.run(ctx)
	})
	c.Long = `Run three servers and three demo members as processes of their own, place every file below Go's source tree, query the placement
snapshot, kill the leader with SIGKILL while lookups and placements run, start it again with the same command line, and prove
that all servers agree and that no acknowledged placement is missing. Everything is in a temporary directory that is removed
at the end. A step that fails is named, and the exit status is not 0.`
	c.Flags().StringVar(&d.tree, "tree", "", "directory whose files are placed (default: src below `go env GOROOT`)")
	return c
}

// owner is what an acknowledged placement said.
type owner struct {
	member string
	epoch  uint64
}

// demo is one run of the command.
type demo struct {
	*app
	tree string

	dir     string
	berth   string
	cluster *localcluster.Cluster
	client  *lookupclient.Client
	placed  map[placement.Identity]owner
	result  demoResult
}

// demoResult is what a program gets of it.
type demoResult struct {
	Files               int            `json:"files"`
	PlacedInSeconds     float64        `json:"placedInSeconds"`
	Spread              map[string]int `json:"spread"`
	Killed              string         `json:"killed"`
	LongestLookup       float64        `json:"longestLookupGapSeconds"`
	LongestPlacement    float64        `json:"longestPlacementGapSeconds"`
	PlacedDuringTheKill int            `json:"placedDuringTheKill"`
	Index               uint64         `json:"index,string"`
	Digest              string         `json:"digest"`
	Checked             int            `json:"acknowledgedPlacementsChecked"`
	Seconds             float64        `json:"seconds"`
}

// demoTimeout ends a demo that hangs.
const demoTimeout = 3 * time.Minute

func (d *demo) run(ctx context.Context) (err error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, fmt.Errorf("it took more than %v", demoTimeout))
	defer cancel()
	if d.berth, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "berth-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cleanUp()) }()
	for i, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"three servers form a cluster, three members join", d.start},
		{"place every file below Go's source tree", d.place},
		{"query the placement snapshot", d.query},
		{"kill the leader while lookups and placements run", d.kill},
		{"all servers agree", d.agree},
		{"no acknowledged placement is missing", d.verify},
	} {
		d.say("\n%d. %s", i+1, step.title)
		if err := step.do(ctx); err != nil {
			if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
				err = errors.Join(cause, err)
			}
			return &statusError{status: exitOther, err: fmt.Errorf("step %d, %s: %w", i+1, step.title, err)}
		}
	}
	d.result.Seconds = time.Since(begin).Seconds()
	return d.printer.Print(&d.result, d.summary)
}

// cleanUp ends the processes and removes the directory.
func (d *demo) cleanUp() error {
	var errs []error
	if d.client != nil {
		errs = append(errs, d.client.Close())
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

func (d *demo) start(ctx context.Context) error {
	begin := time.Now()
	c, err := localcluster.Start(ctx, localcluster.Config{
		Dir: filepath.Join(d.dir, "cluster"), Servers: 3, Hosts: 3, Kinds: []string{"file"}, Port: localcluster.PortAny, Ephemeral: true, Note: d.say,
	})
	if err != nil {
		return err
	}
	d.cluster = c
	if d.client, err = c.Client(); err != nil {
		return err
	}
	for _, s := range slices.Concat(c.Servers, c.Hosts) {
		d.say("   %6d  %s", s.PID(), strings.ReplaceAll(s.Command(), d.dir, "$DIR"))
	}
	d.say("   ready after %v", time.Since(begin).Round(time.Millisecond))
	return nil
}

// files are the identities of the tree's files.
func (d *demo) files(ctx context.Context) ([]string, error) {
	if d.tree == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return nil, fmt.Errorf("go env GOROOT: %w (another tree can be named with --tree)", err)
		}
		d.tree = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	var list []string
	base := filepath.Dir(d.tree)
	err := filepath.WalkDir(d.tree, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(base, path)
		list = append(list, "file/"+filepath.ToSlash(name))
		return err
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("there is no file below %s", d.tree)
	}
	return list, err
}

// command is a berth command of its own process, which asks the cluster.
func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	d.say("   $ berth %s", strings.ReplaceAll(localcluster.Command(args), d.dir, "$DIR"))
	state := d.cluster.State()
	cmd := exec.CommandContext(ctx, d.berth, args...)
	cmd.Env = append(localcluster.Environment(), "BERTH_SERVER="+strings.Join(state.Addresses(), ","))
	cmd.Stderr = d.err
	return cmd
}

// place streams all files to `berth place --stdin`.
func (d *demo) place(ctx context.Context) error {
	files, err := d.files(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	cmd := d.command(ctx, "place", "--stdin", "--total", fmt.Sprint(len(files)), "-o", "jsonl")
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n") + "\n")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := errors.Join(d.collect(out), cmd.Wait()); err != nil {
		return err
	}
	d.result.Files, d.result.PlacedInSeconds = len(files), time.Since(begin).Seconds()
	if len(d.placed) != len(files) {
		return fmt.Errorf("%d of %d files were acknowledged", len(d.placed), len(files))
	}
	d.result.Spread = map[string]int{}
	for _, o := range d.placed {
		d.result.Spread[o.member]++
	}
	for _, m := range slices.Sorted(maps.Keys(d.result.Spread)) {
		n := d.result.Spread[m]
		d.say("   %s  %6s  %4.1f%%  %s", m, humanize.Comma(int64(n)), 100*float64(n)/float64(len(files)), strings.Repeat("▇", 60*n/len(files)))
	}
	return nil
}

// collect notes what was acknowledged.
func (d *demo) collect(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, lineBytesMax)
	for in.Scan() {
		var resp apiv1.PlaceResponse
		if err := protojson.Unmarshal(in.Bytes(), &resp); err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		p := resp.Placement
		d.placed[placement.Identity{Kind: p.Kind, Key: p.Key}] = owner{p.Member, p.Epoch}
	}
	return in.Err()
}

// query saves, inspects and verifies a snapshot, and looks one identity up.
func (d *demo) query(ctx context.Context) error {
	file := filepath.Join(d.dir, "demo.berth")
	sample := placement.Identity{Kind: "file", Key: "src/fmt/print.go"}
	if _, ok := d.placed[sample]; !ok {
		sample = slices.MinFunc(slices.Collect(maps.Keys(d.placed)), placement.Identity.Compare)
	}
	for _, args := range [][]string{{"snapshot", "save", file}, {"snapshot", "verify", file}, {"member", "list"}, {"lookup", sample.String()}} {
		out, err := d.command(ctx, args...).Output()
		d.say("     %s", strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(string(out)), d.dir, "$DIR"), "\n", "\n     "))
		if err != nil {
			return fmt.Errorf("berth %s: %w", args[0], err)
		}
	}
	info, err := d.readSnapshot(file)
	if err != nil {
		return err
	}
	if info.Settled != uint64(len(d.placed)) {
		return fmt.Errorf("the snapshot has %d settled placements, and %d were acknowledged", info.Settled, len(d.placed))
	}
	return nil
}

// agree compares the digests of all servers at one log index.
func (d *demo) agree(ctx context.Context) error {
	for {
		resp, err := localcluster.Status(ctx, d.client)
		if err == nil && len(resp.Problems) > 0 {
			err = errors.New(strings.Join(resp.Problems, "; "))
		}
		if err == nil && sameIndex(resp.Servers) {
			for _, s := range resp.Servers {
				d.say("   %s  %-8s  index %d  digest %s", s.Name, strings.ToLower(s.Role.String()), s.Index, s.Digest)
				if s.Digest != resp.Servers[0].Digest {
					return fmt.Errorf("%s and %s have different states at index %d", s.Name, resp.Servers[0].Name, s.Index)
				}
			}
			d.result.Index, d.result.Digest = resp.Servers[0].Index, resp.Servers[0].Digest
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func sameIndex(list []*apiv1.ServerInfo) bool {
	return !slices.ContainsFunc(list, func(s *apiv1.ServerInfo) bool { return !s.Reachable || s.Index != list[0].Index })
}

// verify looks every acknowledged placement up, on each server.
func (d *demo) verify(ctx context.Context) error {
	ids := slices.Collect(maps.Keys(d.placed))
	state := d.cluster.State()
	for _, s := range state.Servers {
		if err := d.verifyOn(ctx, s.GRPC, ids); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	d.result.Checked = len(ids)
	d.say("   %s acknowledged placements are there, with the same member and epoch, by each of the %d servers", humanize.Comma(int64(len(ids))), len(state.Servers))
	return nil
}

func (d *demo) verifyOn(ctx context.Context, server string, ids []placement.Identity) error {
	c, err := lookupclient.Open(lookupclient.Config{Servers: []string{server}, ServersOnly: true})
	if err != nil {
		return err
	}
	results, err := c.LookupAll(ctx, ids)
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	for i, id := range ids {
		r := results[i]
		if r.Err != nil {
			return fmt.Errorf("%s was acknowledged: %w", id, r.Err)
		}
		if got := (owner{string(r.Placement.Member), uint64(r.Placement.Epoch)}); got != d.placed[id] {
			return fmt.Errorf("%s was acknowledged as %v and is %v", id, d.placed[id], got)
		}
	}
	return nil
}

func (d *demo) summary(r *output.Rows) {
	s := &d.result
	r.Line("")
	r.Line("%s files placed in %.1f s (%s/s), on three members, through three servers that sync every write to disk.",
		humanize.Comma(int64(s.Files)), s.PlacedInSeconds, humanize.Comma(int64(float64(s.Files)/s.PlacedInSeconds)))
	r.Line("The leader was killed: the longest gap was %.2f s in lookups and %.2f s in placements.", s.LongestLookup, s.LongestPlacement)
	r.Line("It came back with the same command line. All servers have digest %s at index %d,", shortDigest(s.Digest), s.Index)
	r.Line("and none of %s acknowledged placements is missing. %.0f s in all.", humanize.Comma(int64(s.Checked)), s.Seconds)
}
