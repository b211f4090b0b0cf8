package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (a *app) snapshotCommand() *cobra.Command {
	var force bool
	save := command("save FILE", "Save the whole state in a file", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error { return a.save(ctx, c, args[0], force) })
	})
	save.Long = `Save the whole state, as of one log index that is at least as new as the call, in a file. The file appears when it is
whole and was read back.`
	save.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	a.asking(save)
	inspect := command("inspect FILE", "Show what is in a snapshot file", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
		info, err := a.readSnapshot(args[0])
		if err != nil {
			return err
		}
		return a.printer.Print(info, func(r *output.Rows) { snapshotTable(r, info) })
	})
	inspect.Long = `Show what is in a snapshot file. It needs no cluster. The whole file is read and checked, as verify does.`
	verify := command("verify FILE", "Check a snapshot file", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
		info, err := a.readSnapshot(args[0])
		if err != nil {
			return err
		}
		return a.printer.Print(info, func(r *output.Rows) {
			r.Line("%s is whole: every checksum is right, and the state in it has the digest that it says, %s", args[0], info.Digest)
		})
	})
	verify.Long = `Check a snapshot file: every checksum, every record, and that the state has the digest that the file says. It needs no
cluster. The exit status is 8 when the file is not whole.`
	return groupCommand("snapshot", "The state in a file", save, inspect, verify, a.snapshotDiffCommand(), a.snapshotRestoreCommand())
}

func (a *app) save(ctx context.Context, c *lookupclient.Client, path string, force bool) (err error) {
	if _, err := os.Lstat(path); err == nil && !force {
		return usage("%s is there already: choose another file, or --force", path)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("%s cannot be made: %w", path, errors.Unwrap(err))
	}
	defer func() { err = errors.Join(err, f.Close(), removeIfThere(f.Name())) }()
	stream, err := apiv1.NewSnapshotsClient(c.Conn()).Save(ctx, &apiv1.SaveRequest{})
	if err != nil {
		return err
	}
	bar := a.byteProgress("saving "+filepath.Base(path), 0)
	_, err = io.Copy(io.MultiWriter(f, bar), &saved{stream: stream})
	bar.done()
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := a.readSnapshot(f.Name())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	info.File = path
	return a.printer.Print(info, func(r *output.Rows) { snapshotTable(r, info) })
}

// fetch returns the whole state, as of one log index that is at least as new as the call.
func (a *app) fetch(ctx context.Context, c *lookupclient.Client) (*snapshot.View, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := apiv1.NewSnapshotsClient(c.Conn()).Save(ctx, &apiv1.SaveRequest{})
	if err != nil {
		return nil, err
	}
	bar := a.byteProgress("fetching the state", 0)
	v, err := snapshot.Decode(io.TeeReader(&saved{stream: stream}, bar))
	bar.done()
	return v, err
}

// saved reads the bytes of a snapshot that a server sends.
type saved struct {
	stream grpc.ServerStreamingClient[apiv1.SaveResponse]
	left   []byte
}

// Read implements io.Reader.
func (s *saved) Read(b []byte) (int, error) {
	for len(s.left) == 0 {
		part, err := s.stream.Recv()
		if err != nil {
			return 0, err
		}
		s.left = part.Data
	}
	n := copy(b, s.left)
	s.left = s.left[n:]
	return n, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// readSnapshot reads and checks a snapshot file, and says what is in it.
func (a *app) readSnapshot(path string) (*apiv1.SnapshotInfo, error) {
	info, _, err := a.openSnapshot(path)
	return info, err
}

// openSnapshot reads and checks a snapshot file.
func (a *app) openSnapshot(path string) (*apiv1.SnapshotInfo, *snapshot.View, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, &statusError{status: exitNotThere, err: err}
	}
	defer func() { _ = f.Close() }()
	sum, n := sha256.New(), counter(0)
	size := int64(0)
	if about, err := f.Stat(); err == nil {
		size = about.Size()
	}
	bar := a.byteProgress("reading "+filepath.Base(path), size)
	v, err := snapshot.Decode(io.TeeReader(f, io.MultiWriter(sum, &n, bar)))
	bar.done()
	if err != nil {
		return nil, nil, badSnapshot(path, err)
	}
	var info *apiv1.SnapshotInfo
	a.during("counting "+filepath.Base(path), func() { info = describe(v) })
	info.File, info.Size, info.Sha256, info.Format = path, uint64(n), hex.EncodeToString(sum.Sum(nil)), snapshot.Format // Decode reads no other
	return info, v, nil
}

// badSnapshot is the error for a file that cannot be used.
func badSnapshot(path string, err error) error {
	next := "save another one; the servers keep their own, so nothing is lost by this"
	var newer *snapshot.NewerFormatError
	if errors.As(err, &newer) {
		next = "use the version of berth that saved it, or a newer one"
	}
	return &statusError{status: exitCheck, err: fmt.Errorf("%s: %w", path, err), next: next}
}

// counter counts the bytes that are written to it.
type counter uint64

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// describe says what is in a view.
func describe(v *snapshot.View) *apiv1.SnapshotInfo {
	info := &apiv1.SnapshotInfo{
		Cluster: v.Cluster.ID, Generation: uint32(v.Cluster.Generation), Index: v.Index, Term: v.Term, Barrier: v.Barrier, Digest: v.Digest().String(),
		Sessions: uint64(v.SessionCount()), Locks: uint64(v.LockCount()),
		Settings: settingsOf(v), Blocks: uint64(v.BlockCount()), Moves: uint64(v.MoveCount()), FeatureLevel: v.Cluster.FeatureLevel,
	}
	kinds := map[string]*apiv1.SnapshotInfo_KindCount{}
	for k := range v.Kinds() {
		kinds[k] = &apiv1.SnapshotInfo_KindCount{Kind: k}
		info.Kinds = append(info.Kinds, kinds[k])
	}
	for p := range v.Placements() {
		switch k := kinds[p.Identity.Kind]; p.Entry.Phase {
		case placement.Settled:
			k.Settled++
			info.Settled++
		case placement.Pending:
			k.Pending++
			info.Pending++
		default:
			info.Tombstones++
		}
		info.HighestEpoch = max(info.HighestEpoch, uint64(p.Entry.Epoch))
	}
	slices.SortFunc(info.Kinds, func(a, b *apiv1.SnapshotInfo_KindCount) int { return strings.Compare(a.Kind, b.Kind) })
	for m, load := range v.Members() {
		info.Members = append(info.Members, &apiv1.Member{
			Name: string(m.ID), Incarnation: uint64(m.Incarnation), Address: m.Address, Kinds: m.Kinds, Weight: m.Weight, Capacity: m.Capacity,
			State: apiv1.Member_State(m.State), Settled: load.Settled, Pending: load.Pending,
		})
	}
	slices.SortFunc(info.Members, func(a, b *apiv1.Member) int { return strings.Compare(a.Name, b.Name) })
	for s := range v.Servers() {
		if !s.Removed {
			info.Servers = append(info.Servers, s.Name)
		}
	}
	return info
}

func snapshotTable(r *output.Rows, s *apiv1.SnapshotInfo) {
	var kinds, members []string
	for _, k := range s.Kinds {
		if k.Settled+k.Pending == 0 {
			continue // a member hosts it
		}
		kinds = append(kinds, fmt.Sprintf("%s %s", k.Kind, humanize.Comma(int64(k.Settled+k.Pending))))
	}
	for _, m := range s.Members {
		members = append(members, fmt.Sprintf("%s %s", m.Name, humanize.Comma(int64(m.Settled+m.Pending))))
	}
	r.Row("file", s.File)
	r.Row("cluster", fmt.Sprintf("%s, generation %d", s.Cluster, s.Generation))
	r.Row("index", fmt.Sprintf("%d, term %d, barrier %d", s.Index, s.Term, s.Barrier))
	r.Row("digest", s.Digest)
	r.Row("size", fmt.Sprintf("%s, format %d, sha256 %s", humanize.IBytes(s.Size), s.Format, s.Sha256))
	r.Row("placements", fmt.Sprintf("%s, highest epoch %d", phases(s), s.HighestEpoch))
	r.Row("kinds", strings.Join(kinds, ", "))
	r.Row("members", strings.Join(members, ", "))
	r.Row("locks", fmt.Sprintf("%s of %s sessions", humanize.Comma(int64(s.Locks)), humanize.Comma(int64(s.Sessions))))
	r.Row("servers", strings.Join(s.Servers, ", "))
	if s.Blocks+s.Moves > 0 {
		r.Row("blocks", fmt.Sprintf("%s, and %s identities on their way to a member", humanize.Comma(int64(s.Blocks)), humanize.Comma(int64(s.Moves))))
	}
	if len(s.Settings) > 0 {
		r.Line("")
		settingsHeader(r)
		for _, k := range s.Settings {
			settingsRow(r, k)
		}
	}
}

// phases says how many placements there are in each phase.
func phases(s *apiv1.SnapshotInfo) string {
	return fmt.Sprintf("%s settled, %s pending, %s tombstones",
		humanize.Comma(int64(s.Settled)), humanize.Comma(int64(s.Pending)), humanize.Comma(int64(s.Tombstones)))
}
