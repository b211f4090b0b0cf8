package group_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// floorBytes is the size of a log of the floor, which is written over and over.
const floorBytes = 16 << 20

// floorLog is a file that is whole before it is measured, so that a write changes nothing but its contents.
type floorLog struct {
	f  *os.File
	at int64
}

func newFloorLog(b *testing.B, name string) *floorLog {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), name))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.Write(make([]byte, floorBytes)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return &floorLog{f: f}
}

func (l *floorLog) append(data []byte) error {
	if l.at+int64(len(data)) > floorBytes {
		l.at = 0
	}
	if _, err := l.f.WriteAt(data, l.at); err != nil {
		return err
	}
	l.at += int64(len(data))
	return datasync(l.f)
}

// benchFloor has a leader write batches of as many commands as there would be callers to its file and to two followers,
// which write them to theirs and answer. A batch is done when the leader's write is, and one of the followers'.
func benchFloor(b *testing.B, callers int) {
	logs := []*floorLog{newFloorLog(b, "0"), newFloorLog(b, "1"), newFloorLog(b, "2")}
	answers := make(chan uint64, 1024)
	var followers []net.Conn
	for _, log := range logs[1:] {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		go floorFollower(l, log)
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		followers = append(followers, c)
		go floorAnswers(c, answers)
	}
	var commands commands
	command, err := commands.next()
	if err != nil {
		b.Fatal(err)
	}
	batch := binary.LittleEndian.AppendUint32(nil, uint32(callers*len(command)))
	for range callers {
		batch = append(batch, command...)
	}
	var took []time.Duration
	done := uint64(0)
	b.ResetTimer()
	for n := uint64(1); int(n-1)*callers < b.N; n++ {
		begin := time.Now()
		for _, c := range followers {
			if _, err := c.Write(batch); err != nil {
				b.Fatal(err)
			}
		}
		if err := logs[0].append(batch); err != nil {
			b.Fatal(err)
		}
		for done < n {
			done = max(done, <-answers)
		}
		took = append(took, time.Since(begin))
	}
	b.StopTimer()
	b.ReportMetric(float64(len(took)*callers)/b.Elapsed().Seconds(), "cmds/s")
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "entries/s")
	reportPercentile(b, took, 50, time.Microsecond, "us")
	reportPercentile(b, took, 99, time.Microsecond, "us")
	b.ReportMetric(0, "ns/op")
	for i, log := range logs {
		if i > 0 {
			_ = followers[i-1].Close()
		}
		_ = log.f.Close()
	}
}

// floorFollower ends with its connection.
func floorFollower(l net.Listener, log *floorLog) {
	c, err := l.Accept()
	_ = l.Close()
	if err != nil {
		return
	}
	defer c.Close()
	var head [4]byte
	var data []byte
	for {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		n := int(binary.LittleEndian.Uint32(head[:]))
		if len(data) < n {
			data = make([]byte, n)
		}
		if _, err := io.ReadFull(c, data[:n]); err != nil || log.append(data[:n]) != nil {
			return
		}
		if _, err := c.Write([]byte{1}); err != nil {
			return
		}
	}
}

// floorAnswers counts the answers of one follower; it ends with its connection.
func floorAnswers(c net.Conn, answers chan<- uint64) {
	var b [256]byte
	count := uint64(0)
	for {
		n, err := c.Read(b[:])
		if err != nil {
			return
		}
		count += uint64(n)
		answers <- count
	}
}

// library is hashicorp/raft as it is mostly used: raft-boltdb, one entry for each command. What makes it fast with many
// callers is set: 512 entries in one message, and a buffer of as many before the leader.
type library struct {
	nodes  []*raft.Raft
	close_ []func()
	leader *raft.Raft
	term   uint64
}

func newLibrary(b *testing.B) *library {
	b.Helper()
	l := &library{}
	var first raft.Configuration
	var transports []*raft.NetworkTransport
	for i := range 3 {
		t, err := raft.NewTCPTransportWithLogger("127.0.0.1:0", nil, 3, 10*time.Second, hclog.NewNullLogger())
		if err != nil {
			b.Fatal(err)
		}
		transports = append(transports, t)
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(fmt.Sprint("s", i+1)), Address: t.LocalAddr()})
	}
	for i, t := range transports {
		dir := b.TempDir()
		store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db")})
		if err != nil {
			b.Fatal(err)
		}
		logs, err := raft.NewLogCache(8192, store)
		if err != nil {
			b.Fatal(err)
		}
		snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, hclog.NewNullLogger())
		if err != nil {
			b.Fatal(err)
		}
		c := raft.DefaultConfig()
		c.LocalID, c.Logger, c.MaxAppendEntries, c.BatchApplyCh = first.Servers[i].ID, hclog.NewNullLogger(), 512, true
		if err := raft.BootstrapCluster(c, logs, store, snapshots, t, first); err != nil {
			b.Fatal(err)
		}
		r, err := raft.NewRaft(c, group.NewMachine(func(err error) { panic(err) }), logs, store, snapshots, t)
		if err != nil {
			b.Fatal(err)
		}
		l.nodes = append(l.nodes, r)
		l.close_ = append(l.close_, func() { _ = t.Close(); _ = store.Close() })
	}
	l.begin(b)
	return l
}

// begin waits for a leader and prepares the state.
func (l *library) begin(b *testing.B) {
	b.Helper()
	for l.leader == nil {
		time.Sleep(time.Millisecond)
		for _, r := range l.nodes {
			if r.State() == raft.Leader {
				l.leader = r
			}
		}
	}
	l.term = l.leader.CurrentTerm()
	if err := l.leader.Apply(fsm.EncodeStart(fsm.Start{ClusterID: "C", Seed: 1}), 0).Error(); err != nil {
		b.Fatal(err)
	}
	for i := range benchMembers {
		if _, err := l.propose(context.Background(), memberJoin(i)); err != nil {
			b.Fatal(err)
		}
	}
}

func (l *library) propose(_ context.Context, command []byte) (fsm.Result, error) {
	future := l.leader.Apply(fsm.AppendEntry(nil, fsm.Batch{Term: l.term}, [][]byte{command}), 0)
	if err := future.Error(); err != nil {
		return fsm.Result{}, err
	}
	out, ok := future.Response().(*fsm.Output)
	if !ok || len(out.Results) != 1 {
		return fsm.Result{}, fmt.Errorf("the library lost its leader: %v", future.Response())
	}
	return out.Results[0], nil
}

func (l *library) close() {
	for _, r := range l.nodes {
		_ = r.Shutdown().Error()
	}
	for _, f := range l.close_ {
		f()
	}
}
