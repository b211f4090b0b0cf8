package lossyfs

import (
	"math/rand/v2"
	"time"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// file is a file or a directory: what processes see of it, and what a power loss leaves.
type file struct {
	number  uint64
	name    string // the last that it was given
	mode    uint32
	changed time.Time

	// A file has contents.
	live, durable []byte
	unsynced      map[int64]struct{} // sectors of live that differ from durable, or may

	// A directory has entries.
	entries, kept map[string]*file
}

func (f *file) directory() bool { return f.entries != nil }

// resize makes the file longer, with zeros, or shorter.
func (f *file) resize(size int64) { f.live = resized(f.live, size) }

func resized(b []byte, size int64) []byte {
	old := int64(len(b))
	switch {
	case size <= old:
		return b[:size]
	case size <= int64(cap(b)):
		b = b[:size]
		clear(b[old:])
		return b
	}
	longer := make([]byte, size, size+size/4)
	copy(longer, b)
	return longer
}

// write puts bytes into the file, which must be long enough.
func (f *file) write(b []byte, at int64) {
	copy(f.live[at:], b)
	for s := at / sector; s*sector < at+int64(len(b)); s++ {
		f.unsynced[s] = struct{}{}
	}
}

// sync makes the contents durable.
func (f *file) sync() {
	f.durable = resized(f.durable, int64(len(f.live)))
	for s := range f.unsynced {
		f.save(s)
	}
	clear(f.unsynced)
}

// save makes one sector durable, as far as the file reaches.
func (f *file) save(s int64) {
	from, to := s*sector, min((s+1)*sector, int64(len(f.live)))
	if from < to {
		copy(f.durable[from:to], f.live[from:to])
	}
}

// loseSync is a sync that failed: the contents count as synced and are not.
func (f *file) loseSync() { clear(f.unsynced) }

// losePower forgets what is not durable, but for some sectors that had reached the disk by then, and returns how many it
// forgot.
func (f *file) losePower(keepPercent int, random *rand.Rand) (lost int64) {
	if keepPercent > 0 && len(f.durable) > len(f.live) && random.IntN(100) < keepPercent {
		f.durable = f.durable[:len(f.live)]
	}
	for s := range int64(len(f.live)+sector-1) / sector {
		if _, ok := f.unsynced[s]; !ok {
			continue
		}
		if keepPercent == 0 || random.IntN(100) >= keepPercent {
			lost++
			continue
		}
		if end := min((s+1)*sector, int64(len(f.live))); int64(len(f.durable)) < end {
			f.durable = resized(f.durable, end)
		}
		f.save(s)
	}
	clear(f.unsynced)
	f.live = append([]byte(nil), f.durable...)
	return lost
}
