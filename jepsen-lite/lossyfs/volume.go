package lossyfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// volume is the file system, without the way in which processes reach it. Its methods may be called at once; a file must
// be touched by them alone. Errors are those that a process sees.
type volume struct {
	mu      sync.Mutex
	root    *file
	files   uint64 // given numbers so far
	count   int    // in directories
	faults  Faults
	stats   Stats
	open    int
	journal [][]change // of directories, not durable
}

// change gives a directory an entry, or with a nil file takes it away.
type change struct {
	dir  *file
	name string
	file *file
}

func newVolume() *volume {
	v := &volume{}
	v.root = v.newFile(syscall.S_IFDIR | 0o755)
	return v
}

func (v *volume) newFile(mode uint32) *file {
	v.files++
	f := &file{number: v.files, mode: mode, changed: time.Now(), unsynced: map[int64]struct{}{}}
	if mode&syscall.S_IFMT == syscall.S_IFDIR {
		f.entries, f.kept = map[string]*file{}, map[string]*file{}
	}
	return f
}

// changeLocked changes directories, by changes that a power loss does not part.
func (v *volume) changeLocked(changes ...change) {
	for _, c := range changes {
		c.apply(c.dir.entries)
		if c.file != nil {
			c.file.name = c.name
		}
		c.dir.changed = time.Now()
	}
	v.journal = append(v.journal, changes)
}

func (c change) apply(entries map[string]*file) {
	if c.file == nil {
		delete(entries, c.name)
		return
	}
	entries[c.name] = c.file
}

// commitLocked makes the first n changes of directories durable.
func (v *volume) commitLocked(n int) {
	for _, changes := range v.journal[:n] {
		for _, c := range changes {
			c.apply(c.dir.kept)
		}
	}
	v.journal = slices.Delete(v.journal, 0, n)
}

// commitDirLocked makes the changes of one directory durable, and no others.
func (v *volume) commitDirLocked(dir *file) {
	var rest [][]change
	for _, changes := range v.journal {
		var others []change
		for _, c := range changes {
			if c.dir == dir {
				c.apply(dir.kept)
				continue
			}
			others = append(others, c)
		}
		if others != nil {
			rest = append(rest, others)
		}
	}
	v.journal = rest
}

func (v *volume) lookup(dir *file, name string) (*file, syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := dir.entries[name]
	if f == nil {
		return nil, syscall.ENOENT
	}
	return f, 0
}

func (v *volume) create(dir *file, name string, mode uint32) (*file, syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if dir.entries[name] != nil {
		return nil, syscall.EEXIST
	}
	if v.count >= filesMax {
		v.stats.Errors++
		return nil, syscall.ENOSPC
	}
	v.count++
	f := v.newFile(mode)
	v.changeLocked(change{dir, name, f})
	return f, 0
}

func (v *volume) remove(dir *file, name string) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := dir.entries[name]
	switch {
	case f == nil:
		return syscall.ENOENT
	case len(f.entries) > 0:
		return syscall.ENOTEMPTY
	}
	v.goneLocked(f)
	v.changeLocked(change{dir, name, nil})
	return 0
}

// goneLocked counts a file that is in no directory any more.
func (v *volume) goneLocked(f *file) {
	v.count--
	v.stats.Bytes -= int64(len(f.live))
}

func (v *volume) rename(dir *file, name string, toDir *file, to string) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	f, old := dir.entries[name], toDir.entries[to]
	switch {
	case f == nil:
		return syscall.ENOENT
	case f == old:
		return 0
	case old != nil && len(old.entries) > 0:
		return syscall.ENOTEMPTY
	}
	if old != nil {
		v.goneLocked(old)
	}
	v.changeLocked(change{dir, name, nil}, change{toDir, to, f})
	return 0
}

// entry is an entry of a directory.
type entry struct {
	name string
	file *file
}

// list returns the entries of a directory, by name.
func (v *volume) list(dir *file) (out []entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(dir.entries)) {
		out = append(out, entry{name, dir.entries[name]})
	}
	return out
}

// resizeLocked gives the file a size, if there is room.
func (v *volume) resizeLocked(f *file, size int64) syscall.Errno {
	capacity := v.faults.Capacity
	if capacity == 0 {
		capacity = CapacityDefault
	}
	more := size - int64(len(f.live))
	if more > 0 && v.stats.Bytes+more > capacity {
		v.stats.Errors++
		return syscall.ENOSPC
	}
	v.stats.Bytes += more
	f.resize(size)
	f.changed = time.Now()
	return 0
}

func (v *volume) resize(f *file, size int64) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.resizeLocked(f, size)
}

// failLocked is the error that a read, write or sync of the file meets.
func (v *volume) failLocked(f *file, e syscall.Errno) syscall.Errno {
	if e == 0 || !v.faults.about(f.name) {
		return 0
	}
	v.stats.Errors++
	return e
}

func (v *volume) read(f *file, b []byte, at int64) (int, syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.Reads++
	if e := v.failLocked(f, v.faults.Read); e != 0 {
		return 0, e
	}
	if at >= int64(len(f.live)) {
		return 0, 0
	}
	return copy(b, f.live[at:]), 0
}

func (v *volume) write(f *file, b []byte, at int64) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.Writes++
	if e := v.failLocked(f, v.faults.Write); e != 0 {
		return e
	}
	if end := at + int64(len(b)); end > int64(len(f.live)) {
		if e := v.resizeLocked(f, end); e != 0 {
			return e
		}
	}
	f.write(b, at)
	f.changed = time.Now()
	return 0
}

// sync makes a file, or the entries of a directory, durable.
func (v *volume) sync(f *file) syscall.Errno {
	v.mu.Lock()
	v.stats.Syncs++
	delay := v.faults.SyncDelay
	if !v.faults.about(f.name) {
		delay = 0
	}
	v.mu.Unlock()
	time.Sleep(delay)
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.failLocked(f, v.faults.Sync); e != 0 {
		f.loseSync()
		return e
	}
	if !f.directory() {
		f.sync()
	}
	switch {
	case !v.faults.StrictDirectories:
		v.commitLocked(len(v.journal))
	case f.directory():
		v.commitDirLocked(f)
	}
	return 0
}

func (v *volume) setFaults(f Faults) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults = f
}

func (v *volume) counted() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stats
}

// opened counts the files that processes have open: by is 1 or -1.
func (v *volume) opened(by int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open += by
}

// losePower leaves what is durable, and some of the rest. It does nothing and returns how many files are open when there
// are any: their processes run on, so power is not lost.
func (v *volume) losePower(l PowerLoss) (open int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open > 0 {
		return v.open
	}
	random := rand.New(rand.NewPCG(l.Seed, 0))
	if l.KeepPercent > 0 && len(v.journal) > 0 {
		v.commitLocked(random.IntN(len(v.journal) + 1))
	}
	v.stats.PowerLosses++
	v.stats.LostChanges += int64(len(v.journal))
	v.journal, v.count, v.stats.Bytes = nil, 0, 0
	v.loseLocked(v.root, l.KeepPercent, random)
	return 0
}

// loseLocked goes through the tree in the order of names, so that a seed decides all.
func (v *volume) loseLocked(f *file, keepPercent int, random *rand.Rand) {
	if !f.directory() {
		v.stats.LostSectors += f.losePower(keepPercent, random)
		v.stats.Bytes += int64(len(f.live))
		return
	}
	f.entries = maps.Clone(f.kept)
	for _, name := range slices.Sorted(maps.Keys(f.entries)) {
		c := f.entries[name]
		c.name = name
		v.count++
		v.loseLocked(c, keepPercent, random)
	}
}
