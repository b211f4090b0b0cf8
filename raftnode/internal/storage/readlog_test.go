package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

func TestReadLog_OfAnEndedServer_GivesEntriesAndChangesNothing(t *testing.T) {
	path := filled(t, 9)
	before, err := os.ReadFile(filepath.Join(path, logFile))
	if err != nil {
		t.Fatal(err)
	}
	var got []*raft.Log
	if err := ReadLog(path, func(e *raft.Log) error { got = append(got, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 9 || string(got[8].Data) != "command-009" || got[8].Index != 9 || got[8].Extensions != nil {
		t.Errorf("%d entries, the last %+v", len(got), got[len(got)-1])
	}
	after, err := os.ReadFile(filepath.Join(path, logFile))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the log is another one, %v", err)
	}
	enough := errors.New("enough")
	if err := ReadLog(path, func(*raft.Log) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the receiver's error: %v", err)
	}
}

func TestReadLog_BadDirectory_Refused(t *testing.T) {
	none := func(*raft.Log) error { return nil }
	missing := filepath.Join(t.TempDir(), "missing")
	if err := ReadLog(missing, none); !errors.Is(err, ErrIncomplete) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the directory was made")
	}
	path := filled(t, 9)
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := ReadLog(path, none); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(path, logFile))
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte("command-005"), []byte("command-015")) // also where a page was copied from
	if err := os.WriteFile(filepath.Join(path, logFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if err := ReadLog(path, none); !errors.As(err, &corrupt) {
		t.Errorf("a flipped bit: %v", err)
	}
}
