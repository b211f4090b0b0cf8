package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
)

// bushyBolt makes a bbolt file with branches, pages that overflow, buckets within buckets, and free pages.
func bushyBolt(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bolt.db")
	db, err := bbolt.Open(path, 0o600, boltOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"large", "small", "empty"} {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for i := range map[string]int{"large": 400, "small": 2}[name] {
				if err := b.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), bytes.Repeat([]byte{1}, 40+i%50*200)); err != nil {
					return err
				}
			}
			if _, err := b.CreateBucket([]byte("within")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("large"))
		for i := range 100 {
			if err := b.Delete(binary.BigEndian.AppendUint64(nil, uint64(i))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What cannot be read is not damaged: the error is the system's.
func TestCheckBolt_CannotBeRead_SaysWhy(t *testing.T) {
	var c *CorruptError
	if _, err := checkBolt(t.TempDir()); !errors.Is(err, syscall.EISDIR) || errors.As(err, &c) {
		t.Errorf("a directory: %v", err)
	}
}

func TestCheckBolt_WholeFile_NamesItsBuckets(t *testing.T) {
	buckets, err := checkBolt(bushyBolt(t))
	if slices.Sort(buckets); err != nil || !slices.Equal(buckets, []string{"empty", "large", "small"}) {
		t.Errorf("%q, %v", buckets, err)
	}
	if buckets, err := checkBolt(filepath.Join(t.TempDir(), "nothing")); buckets != nil || err != nil {
		t.Errorf("no file: %q, %v", buckets, err)
	}
}

// Whatever the check lets through, bbolt opens and reads to the end: it has assertions on goroutines of its own, which
// nobody can recover from.
func TestCheckBolt_FlippedBytes_BboltIsNeverAskedInVain(t *testing.T) {
	path := bushyBolt(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for at := 0; at < len(whole); at += page {
		n := int(binary.LittleEndian.Uint16(whole[at+10:]))
		// The header, and the first, a middle and the last element.
		places := []int{0, 4, 8, 9, 10, 11, 12, 15}
		for _, i := range []int{0, n / 2, n - 1} {
			for b := range 16 {
				places = append(places, 16+16*max(0, i)+b)
			}
		}
		for _, p := range places {
			if at+p >= len(whole) || (at/page*7+p)%97 != 0 && at > 2*page { // a part of them, to be quick
				continue
			}
			tryBolt(t, path, int64(at+p), whole[at+p], fmt.Sprintf("byte %d of page %d", p, at/page))
		}
	}
}

// tryBolt opens the file with another byte at a place where x is.
func tryBolt(t *testing.T, path string, at int64, x byte, what string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{x ^ 0x41}, at); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = f.WriteAt([]byte{x}, at) }()
	var corrupt *CorruptError
	if _, err := checkBolt(path); err != nil {
		if !errors.As(err, &corrupt) {
			t.Errorf("%s: %v, want a CorruptError", what, err)
		}
		return
	}
	db, err := openBolt(path, "large", func() (*bbolt.DB, error) { return bbolt.Open(path, 0o600, boltOptions()) })
	if err != nil {
		t.Errorf("%s: the check passed, and bbolt says %v", what, err)
		return
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error { return nil })
		})
	})
	if err != nil {
		t.Errorf("%s: read: %v", what, err)
	}
}

// bbolt goes back to the older meta page when the newer one is damaged, and with it to before the last commit.
func TestCheckBolt_EitherMetaPageDamaged_IsRefused(t *testing.T) {
	path := bushyBolt(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range []int{0, os.Getpagesize()} {
		for at := meta + 16; at < meta+16+boltMetaBytes; at++ {
			damaged := bytes.Clone(whole[:2*os.Getpagesize()])
			damaged[at] ^= 1
			if _, err := readBoltMeta(bytes.NewReader(damaged)); err == nil {
				t.Errorf("byte %d: accepted", at)
			}
		}
	}
}

// A flipped byte of the vote is refused, or it is in none of what is read.
func TestVoteStore_FlippedByte_IsRefusedOrHarmless(t *testing.T) {
	path := filepath.Join(t.TempDir(), voteFile)
	s, err := openVoteStore(path, testGuard(t))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.SetUint64([]byte(voteTerm), 7), s.Set([]byte(voteCand), []byte("s2")), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for at, x := range whole {
		if x == 0 {
			continue
		}
		if n++; n%3 != 0 { // a part of them, to be quick
			continue
		}
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openVoteStore(path, testGuard(t))
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Errorf("byte %d: %v, want a CorruptError", at, err)
			}
			continue
		}
		current, err1 := s.GetUint64([]byte("CurrentTerm"))
		term, err2 := s.GetUint64([]byte(voteTerm))
		cand, err3 := s.Get([]byte(voteCand))
		if err := errors.Join(err1, err2, err3); err != nil || current != 7 || term != 7 || string(cand) != "s2" {
			t.Errorf("byte %d: term %d, vote %d for %q, %v", at, current, term, cand, err)
		}
		_ = s.Close()
	}
}

// Files that were being made when the power went are made again; none of them was in use.
func TestStores_UnfinishedFiles_AreMadeAgain(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{logFile, voteFile} {
		if err := os.WriteFile(filepath.Join(path, name), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, stores := open(t, path, testIdentity)
	_ = errors.Join(stores.Close(), d.Close())
}

// A bucket that is another file's is not taken for an empty store.
func TestStores_FilesExchanged_AreRefused(t *testing.T) {
	path := filled(t, 3)
	log, vote, other := filepath.Join(path, logFile), filepath.Join(path, voteFile), filepath.Join(path, "other")
	if err := errors.Join(os.Rename(log, other), os.Rename(vote, log), os.Rename(other, vote)); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if err := reopen(path); !errors.As(err, &corrupt) {
		t.Errorf("reopen: %v, want a CorruptError", err)
	}
}

func TestIdentity_FlippedByte_IsRefused(t *testing.T) {
	path := filled(t, 1)
	file := filepath.Join(path, identityFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		for _, bit := range []byte{1, 0x20} {
			whole[at] ^= bit
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			whole[at] ^= bit
			if err := reopen(path); err == nil {
				t.Errorf("byte %d: accepted", at)
			}
		}
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reopen(path); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}
