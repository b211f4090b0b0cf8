package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
)

// bbolt maps its file and believes it: a page that is not there, or does not hold what it should, ends the process on
// whatever goroutine meets it, some of bbolt's own among them. So the pages are looked through before bbolt sees them.
//
// The layout is that of go.etcd.io/bbolt/internal/common, format 2:
//
//	page     id u64 │ flags u16 │ count u16 │ overflow u32 │ elements │ keys and values
//	meta     magic u32 │ version u32 │ page size u32 │ flags u32 │ root u64 │ sequence u64 │ freelist u64 │ pages u64 │ tx u64 │ FNV-1a u64
//	branch   pos u32 │ key bytes u32 │ page u64
//	leaf     flags u32 │ pos u32 │ key bytes u32 │ value bytes u32
//	bucket   root u64 │ sequence u64 │ when root is 0, a page

const (
	boltPageHeader  = 16
	boltMetaBytes   = 64
	boltElement     = 16
	boltBucketBytes = 16
	boltMagic       = 0xED0CDAED
	boltVersion     = 2
	boltBranch      = 0x01
	boltLeaf        = 0x02
	boltBucketFlag  = 0x01
	// boltPageSizeMin and boltPageSizeMax bound the size of a page, which is that of the system's.
	boltPageSizeMin = 512
	boltPageSizeMax = 64 << 10
)

// boltMeta is what a valid meta page says.
type boltMeta struct{ pageSize, root, pages, tx uint64 }

// checkBolt looks an existing bbolt file through, and returns the names of its buckets; nil when there is no file. What is
// wrong with it is a *CorruptError.
func checkBolt(path string) (buckets []string, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	meta, err := readBoltMeta(f)
	if err == nil && uint64(fi.Size()) < meta.pages*meta.pageSize {
		err = fmt.Errorf("it has %d bytes of at least %d", fi.Size(), meta.pages*meta.pageSize)
	}
	if err != nil {
		return nil, boltError(path, err)
	}
	c := &boltChecker{file: f, meta: meta, seen: map[uint64]bool{}, buckets: []string{}}
	if err := c.page(meta.root, keyRange{}); err != nil {
		return nil, boltError(path, err)
	}
	return c.buckets, nil
}

// boltError is what is wrong with a file that was looked through: a CorruptError, unless it could not be read. What a disk does not
// give out today may be whole tomorrow.
func boltError(path string, err error) error {
	var unread *fs.PathError
	if errors.As(err, &unread) {
		return fmt.Errorf("look through %s: %w", path, err)
	}
	return &CorruptError{Path: path, What: err.Error()}
}

// readBoltMeta returns the newer of the two meta pages. Both must be whole: each fits into one sector, so a crash leaves
// none of them half written, and the older one lacks what was acknowledged last.
func readBoltMeta(r io.ReaderAt) (boltMeta, error) {
	a, err := boltMetaAt(r, 0)
	if err != nil {
		return a, fmt.Errorf("meta page 0: %w", err)
	}
	b, err := boltMetaAt(r, int64(a.pageSize))
	if err != nil {
		return b, fmt.Errorf("meta page 1: %w", err)
	}
	if b.pageSize != a.pageSize {
		return a, fmt.Errorf("its pages have %d or %d bytes", a.pageSize, b.pageSize)
	}
	if b.tx > a.tx {
		return b, nil
	}
	return a, nil
}

func boltMetaAt(r io.ReaderAt, at int64) (m boltMeta, err error) {
	var b [boltMetaBytes]byte
	if _, err := r.ReadAt(b[:], at+boltPageHeader); errors.Is(err, io.EOF) {
		return m, errors.New("it is not there")
	} else if err != nil {
		return m, err
	}
	le := binary.LittleEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	switch m = (boltMeta{uint64(le.Uint32(b[8:])), le.Uint64(b[16:]), le.Uint64(b[40:]), le.Uint64(b[48:])}); {
	case le.Uint32(b[:]) != boltMagic || le.Uint32(b[4:]) != boltVersion:
		return m, errors.New("it is none of bbolt's")
	case le.Uint64(b[56:]) != sum.Sum64():
		return m, errors.New("its checksum is wrong")
	case m.pageSize < boltPageSizeMin || m.pageSize > boltPageSizeMax || m.pages > 1<<40:
		return m, fmt.Errorf("%d pages of %d bytes", m.pages, m.pageSize)
	}
	return m, nil
}

// boltChecker walks through all pages in use.
type boltChecker struct {
	file    io.ReaderAt
	meta    boltMeta
	seen    map[uint64]bool
	buckets []string
	depth   int // of buckets: zero in the root
}

// keyRange bounds the keys of a page: from is the least, and to, unless it is nil, is beyond them.
type keyRange struct{ from, to []byte }

// page looks a page through, and those below it.
func (c *boltChecker) page(id uint64, keys keyRange) error {
	if id < 2 || id >= c.meta.pages {
		return fmt.Errorf("page %d of %d is in use", id, c.meta.pages)
	}
	b := make([]byte, c.meta.pageSize)
	if _, err := c.file.ReadAt(b, int64(id*c.meta.pageSize)); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	le := binary.LittleEndian
	more := uint64(le.Uint32(b[12:]))
	if le.Uint64(b) != id || id+more >= c.meta.pages {
		return fmt.Errorf("page %d says that it is %d, with %d more", id, le.Uint64(b), more)
	}
	for i := id; i <= id+more; i++ {
		if c.seen[i] {
			return fmt.Errorf("page %d is in use twice", i)
		}
		c.seen[i] = true
	}
	if more > 0 {
		b = make([]byte, (1+more)*c.meta.pageSize)
		if _, err := c.file.ReadAt(b, int64(id*c.meta.pageSize)); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
	}
	if err := c.elements(b, keys); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements looks through what a page holds.
func (c *boltChecker) elements(b []byte, keys keyRange) error {
	le := binary.LittleEndian
	flags, n := le.Uint16(b[8:]), int(le.Uint16(b[10:]))
	if flags != boltBranch && flags != boltLeaf || flags == boltBranch && n == 0 {
		return fmt.Errorf("%d elements of type %x", n, flags)
	}
	if boltPageHeader+n*boltElement > len(b) {
		return fmt.Errorf("%d elements in %d bytes", n, len(b))
	}
	key := func(i int) ([]byte, []byte, error) {
		at := boltPageHeader + i*boltElement
		e := b[at : at+boltElement]
		pos, keyBytes, valueBytes := uint64(le.Uint32(e)), uint64(le.Uint32(e[4:])), uint64(0)
		if flags == boltLeaf {
			pos, keyBytes, valueBytes = uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
		}
		begin := uint64(at) + pos
		if begin < uint64(boltPageHeader+n*boltElement) || begin+keyBytes+valueBytes > uint64(len(b)) {
			return nil, nil, fmt.Errorf("element %d has %d bytes at %d of %d", i, keyBytes+valueBytes, begin, len(b))
		}
		return b[begin : begin+keyBytes], b[begin+keyBytes : begin+keyBytes+valueBytes], nil
	}
	least := keys.from
	for i := range n {
		k, value, err := key(i)
		if err != nil {
			return err
		}
		if order := bytes.Compare(k, least); order < 0 || order == 0 && i > 0 || keys.to != nil && bytes.Compare(k, keys.to) >= 0 {
			return fmt.Errorf("the key of element %d is out of order", i)
		}
		least = k
		switch {
		case flags == boltBranch:
			below := keyRange{k, keys.to}
			if i+1 < n {
				if below.to, _, err = key(i + 1); err != nil {
					return err
				}
			}
			err = c.page(le.Uint64(b[boltPageHeader+i*boltElement+8:]), below)
		case le.Uint32(b[boltPageHeader+i*boltElement:])&^boltBucketFlag != 0:
			err = fmt.Errorf("element %d is of an unknown type", i)
		case le.Uint32(b[boltPageHeader+i*boltElement:]) == boltBucketFlag:
			err = c.bucket(string(k), value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket looks a bucket through.
func (c *boltChecker) bucket(name string, value []byte) error {
	if len(value) < boltBucketBytes {
		return fmt.Errorf("bucket %q has %d bytes", name, len(value))
	}
	if c.depth == 0 {
		c.buckets = append(c.buckets, name)
	}
	c.depth++
	defer func() { c.depth-- }()
	var err error
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		err = c.page(root, keyRange{})
	} else if value = value[boltBucketBytes:]; len(value) < boltPageHeader || binary.LittleEndian.Uint16(value[8:]) != boltLeaf {
		err = errors.New("it has no page")
	} else {
		err = c.elements(value, keyRange{})
	}
	if err != nil {
		return fmt.Errorf("bucket %q: %w", name, err)
	}
	return nil
}
