package runner

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/lossyfs"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
)

// Each fault of a disk is one of the file system below it, and two at a time are both.
func TestFaultsOf_Faults_AreTheFileSystems(t *testing.T) {
	type faults = nemesis.DiskFault
	for _, x := range []struct {
		faults []faults
		want   lossyfs.Faults
	}{
		{nil, well},
		{[]faults{{Full: true}}, lossyfs.Faults{StrictDirectories: true, Capacity: fullBytes}},
		{[]faults{{Full: true, Copies: true}}, lossyfs.Faults{StrictDirectories: true, Capacity: fullBytes, Write: syscall.ENOSPC}},
		{[]faults{{BadSyncs: true}}, lossyfs.Faults{StrictDirectories: true, Sync: syscall.EIO}},
		{[]faults{{BadWrites: true}}, lossyfs.Faults{StrictDirectories: true, Write: syscall.EIO}},
		{[]faults{{BadReads: true, Files: "log.db"}}, lossyfs.Faults{StrictDirectories: true, Read: syscall.EIO, Files: "log.db"}},
		{[]faults{{Sync: ms}}, lossyfs.Faults{StrictDirectories: true, SyncDelay: ms}},
		{[]faults{{Sync: 2 * ms}, {Sync: ms}, {Full: true}}, lossyfs.Faults{StrictDirectories: true, SyncDelay: 2 * ms, Capacity: fullBytes}},
		{[]faults{{Sync: ms}, {BadReads: true, Files: "log.db"}}, lossyfs.Faults{StrictDirectories: true, SyncDelay: ms, Read: syscall.EIO}},
		{[]faults{{BadReads: true, Files: "log.db"}, {Sync: ms}}, lossyfs.Faults{StrictDirectories: true, SyncDelay: ms, Read: syscall.EIO}},
	} {
		var list []*faults
		for _, f := range x.faults {
			list = append(list, &f)
		}
		if got := faultsOf(list); got != x.want {
			t.Errorf("%+v: %+v, want %+v", x.faults, got, x.want)
		}
	}
}

// A server whose disk fails may end, when it names what the disk did; one that says nothing of it has crashed.
func TestWorker_EndedByItself_NamesWhatItsDiskDid(t *testing.T) {
	eio, enospc := wordsOf(nemesis.DiskFault{BadReads: true}), wordsOf(nemesis.DiskFault{Full: true})
	for _, x := range []struct {
		log     string
		blamed  []string
		excused bool
		want    bool
	}{
		{"read log.db: input/output error", eio, false, true},
		{"write log.db: no space left on device", append(enospc, eio...), false, true},
		{"read log.db: input/output error", nil, false, false},
		{"log.db is corrupt: it is not there", eio, false, false},
		{"read log.db: input/output error", enospc, false, false},
		{"", nil, true, true},
		{"", eio, true, true},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(x.log), 0o600); err != nil {
			t.Fatal(err)
		}
		w := &worker{Process: &procs.Process{Config: procs.Config{Log: path}}, blamed: x.blamed, excused: x.excused}
		if got := w.mayEnd(); got != x.want {
			t.Errorf("it says %q, its disk did %q, excused %t: %t", x.log, x.blamed, x.excused, got)
		}
	}
}

// It needs root and /dev/fuse.
func TestLeaks_DiskThatIsMounted_IsCounted(t *testing.T) {
	binary, err := berth()
	if err != nil {
		t.Fatal(err)
	}
	before := leaksBefore()
	r := &run{cluster: &cluster{}, tmp: t.TempDir()}
	disk, err := lossyfs.Start([]string{binary, "fault", "disk"})
	if err != nil {
		t.Fatal(err)
	}
	r.cluster.mu.disks = append(r.cluster.mu.disks, disk)
	if l := before.since(r); l.Mounts != 1 || len(l.What) != 1 || l.What[0] != disk.Dir() {
		t.Errorf("while it is there: %+v", l)
	}
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	if l := before.since(r); l.Mounts != 0 {
		t.Errorf("when it is closed: %+v", l)
	}
}

// As many faults of disks at a time as there can be leave a majority of disks whole.
func TestScenarios_DisksThatFail_AreAMinority(t *testing.T) {
	for _, s := range Scenarios() {
		lanes := 1
		if s.Together {
			lanes = 2
		}
		for _, f := range s.Faults {
			one := f.Target == nemesis.Leader || f.Target == nemesis.Follower || f.Target == nemesis.Server
			if f.Fails() && (!one || 2*lanes >= s.Servers) {
				t.Errorf("%s, with %d at a time of %d servers: %v", s.Name, lanes, s.Servers, f)
			}
		}
	}
}
