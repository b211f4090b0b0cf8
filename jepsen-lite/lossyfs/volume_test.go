package lossyfs

import (
	"bytes"
	"fmt"
	"slices"
	"syscall"
	"testing"
)

// disk is a volume with what tests do to it.
type disk struct {
	*volume
	t *testing.T
}

func newDisk(t *testing.T, f Faults) *disk {
	d := &disk{newVolume(), t}
	d.setFaults(f)
	return d
}

func (d *disk) ok(e syscall.Errno) {
	d.t.Helper()
	if e != 0 {
		d.t.Fatal(e)
	}
}

func (d *disk) make(dir *file, name string, mode uint32) *file {
	d.t.Helper()
	f, e := d.create(dir, name, mode)
	d.ok(e)
	return f
}

// contents are the files below a directory, each as path=contents.
func (d *disk) contents(dir *file, path string) (out []string) {
	for _, e := range d.list(dir) {
		if e.file.directory() {
			out = append(append(out, path+e.name+"/"), d.contents(e.file, path+e.name+"/")...)
			continue
		}
		out = append(out, path+e.name+"="+string(bytes.TrimRight(e.file.live, "\x00")))
	}
	return out
}

func (d *disk) want(when string, want ...string) {
	d.t.Helper()
	if got := d.contents(d.root, ""); !slices.Equal(got, want) {
		d.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

func (d *disk) lose(l PowerLoss) {
	d.t.Helper()
	if open := d.losePower(l); open != 0 {
		d.t.Fatalf("%d files are open", open)
	}
}

func TestVolume_PowerLoss_KeepsWhatWasSynced(t *testing.T) {
	d := newDisk(t, Faults{})
	a := d.make(d.root, "a", syscall.S_IFREG)
	d.ok(d.write(a, []byte("synced"), 0))
	d.ok(d.sync(a))
	d.ok(d.write(a, []byte("forgot and longer"), 0))
	b := d.make(d.root, "b", syscall.S_IFREG)
	d.ok(d.write(b, []byte("never synced"), 0))
	d.want("before", "a=forgot and longer", "b=never synced")
	d.lose(PowerLoss{})
	d.want("after", "a=synced")
	if s := d.counted(); s.PowerLosses != 1 || s.LostSectors != 1 || s.LostChanges != 1 || s.Bytes != 6 {
		t.Errorf("counted %+v", s)
	}
	d.ok(d.resize(d.at("a"), 2))
	d.lose(PowerLoss{})
	d.want("cut short and not synced", "a=synced")
}

func (d *disk) at(name string) *file {
	d.t.Helper()
	f, e := d.lookup(d.root, name)
	d.ok(e)
	return f
}

// A file whose directory was not synced is there by the ordered rule, and gone by the strict one.
func TestVolume_DirectoryIsNotSynced_ByTheRule(t *testing.T) {
	for strict, want := range map[bool][]string{false: {"dir/", "dir/new=1"}, true: nil} {
		d := newDisk(t, Faults{StrictDirectories: strict})
		dir := d.make(d.root, "dir", syscall.S_IFDIR)
		tmp := d.make(dir, "tmp", syscall.S_IFREG)
		d.ok(d.write(tmp, []byte("1"), 0))
		d.ok(d.sync(tmp))
		d.ok(d.rename(dir, "tmp", dir, "new"))
		d.ok(d.sync(tmp))
		d.lose(PowerLoss{})
		d.want(fmt.Sprint("strict ", strict), want...)
	}
	d := newDisk(t, Faults{StrictDirectories: true})
	dir := d.make(d.root, "dir", syscall.S_IFDIR)
	f := d.make(dir, "f", syscall.S_IFREG)
	d.ok(d.sync(f))
	d.ok(d.sync(dir))
	d.ok(d.sync(d.root))
	d.ok(d.rename(dir, "f", d.root, "g"))
	d.ok(d.sync(d.root))
	d.lose(PowerLoss{})
	d.want("moved, and one of two directories synced", "dir/", "dir/f=", "g=")
}

// An entry that was taken away comes back when that was not synced.
func TestVolume_RemovedAndNotSynced_IsThereAgain(t *testing.T) {
	d := newDisk(t, Faults{})
	f := d.make(d.root, "f", syscall.S_IFREG)
	d.ok(d.write(f, []byte("x"), 0))
	d.ok(d.sync(f))
	d.ok(d.remove(d.root, "f"))
	d.want("removed")
	d.lose(PowerLoss{})
	d.want("after", "f=x")
	d.ok(d.remove(d.root, "f"))
	d.ok(d.sync(d.root))
	d.lose(PowerLoss{})
	d.want("removed and synced")
}

// torn is what a power loss leaves of 64 sectors, half of them synced.
func torn(t *testing.T, l PowerLoss) []byte {
	d := newDisk(t, Faults{})
	f := d.make(d.root, "f", syscall.S_IFREG)
	d.ok(d.write(f, bytes.Repeat([]byte{1}, 32*sector), 0))
	d.ok(d.sync(f))
	d.ok(d.write(f, bytes.Repeat([]byte{2}, 48*sector), 16*sector))
	d.lose(l)
	return d.at("f").live
}

func TestVolume_PowerLoss_KeepsARandomPart(t *testing.T) {
	different := 0
	for seed := range uint64(20) {
		got := torn(t, PowerLoss{KeepPercent: 50, Seed: seed})
		if !bytes.Equal(got, torn(t, PowerLoss{KeepPercent: 50, Seed: seed})) {
			t.Errorf("seed %d leaves this and that", seed)
		}
		if !bytes.Equal(got, torn(t, PowerLoss{KeepPercent: 50, Seed: seed + 1})) {
			different++
		}
		for s := 0; s < len(got)/sector; s++ {
			if part := got[s*sector : (s+1)*sector]; !bytes.Equal(part, bytes.Repeat(part[:1], sector)) || part[0] != 1 && s < 16 || part[0] == 0 && s < 32 {
				t.Fatalf("seed %d: sector %d is %d", seed, s, part[0])
			}
		}
	}
	if different < 15 {
		t.Errorf("of 20 pairs of seeds %d leave different things", different)
	}
	if got := torn(t, PowerLoss{KeepPercent: 100}); len(got) != 64*sector || got[63*sector] != 2 {
		t.Error("all is to be kept, and is not")
	}
	if got := torn(t, PowerLoss{}); len(got) != 32*sector || got[31*sector] != 1 {
		t.Error("nothing is to be kept, and something is")
	}
}

// The changes of directories that are kept are the first ones, and a rename is one.
func TestVolume_PowerLoss_KeepsTheFirstChanges(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(40) {
		d := newDisk(t, Faults{})
		d.make(d.root, "a", syscall.S_IFREG)
		d.ok(d.rename(d.root, "a", d.root, "b"))
		d.make(d.root, "c", syscall.S_IFREG)
		d.lose(PowerLoss{KeepPercent: 1, Seed: seed})
		seen[fmt.Sprint(d.contents(d.root, ""))] = true
	}
	for _, want := range []string{"[]", "[a=]", "[b=]", "[b= c=]"} {
		if !seen[want] {
			t.Errorf("never left: %s", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("left: %v", seen)
	}
}

// After a sync that failed the next one says that all is well, and what the first was to save is not there.
func TestVolume_SyncFails_IsForgotten(t *testing.T) {
	d := newDisk(t, Faults{})
	f := d.make(d.root, "f", syscall.S_IFREG)
	d.ok(d.sync(f))
	d.ok(d.write(f, []byte("x"), 0))
	d.setFaults(Faults{Sync: syscall.EIO})
	if e := d.sync(f); e != syscall.EIO {
		t.Errorf("sync: %v", e)
	}
	d.setFaults(Faults{})
	d.ok(d.sync(f))
	d.want("before", "f=x")
	d.lose(PowerLoss{})
	d.want("after", "f=")
}

func TestVolume_Faults_OfTheNamedFiles(t *testing.T) {
	d := newDisk(t, Faults{Read: syscall.EIO, Write: syscall.ENOSPC, Sync: syscall.EIO, Files: "*.db"})
	f, g := d.make(d.root, "log.db", syscall.S_IFREG), d.make(d.root, "LOCK", syscall.S_IFREG)
	if e := d.write(f, []byte("x"), 0); e != syscall.ENOSPC {
		t.Errorf("write: %v", e)
	}
	if _, e := d.read(f, make([]byte, 1), 0); e != syscall.EIO {
		t.Errorf("read: %v", e)
	}
	if e := d.sync(f); e != syscall.EIO {
		t.Errorf("sync: %v", e)
	}
	d.ok(d.write(g, []byte("x"), 0))
	if _, e := d.read(g, make([]byte, 1), 0); e != 0 {
		t.Errorf("read: %v", e)
	}
	d.ok(d.sync(g))
	if s := d.counted(); s.Errors != 3 || s.Reads != 2 || s.Writes != 2 || s.Syncs != 2 {
		t.Errorf("counted %+v", s)
	}
}

func TestVolume_Capacity_NoSpaceBeyond(t *testing.T) {
	d := newDisk(t, Faults{Capacity: 1000})
	f := d.make(d.root, "f", syscall.S_IFREG)
	d.ok(d.write(f, make([]byte, 900), 0))
	d.ok(d.write(f, make([]byte, 900), 100))
	for what, e := range map[string]syscall.Errno{
		"write":   d.write(f, []byte{1}, 1000),
		"resize":  d.resize(f, 1001),
		"another": d.write(d.make(d.root, "g", syscall.S_IFREG), []byte{1}, 0),
	} {
		if e != syscall.ENOSPC {
			t.Errorf("%s: %v", what, e)
		}
	}
	d.ok(d.remove(d.root, "f"))
	d.ok(d.write(d.at("g"), make([]byte, 1000), 0))
}

func TestVolume_PowerLoss_WhileOpen_NothingHappens(t *testing.T) {
	d := newDisk(t, Faults{})
	d.make(d.root, "f", syscall.S_IFREG)
	d.opened(1)
	if open := d.losePower(PowerLoss{}); open != 1 {
		t.Errorf("%d open", open)
	}
	d.want("meanwhile", "f=")
	d.opened(-1)
	d.lose(PowerLoss{})
	d.want("after")
}
