package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/scratch"
)

// What is interrupted ends at once, and what seeds had on their disks is gone.
func TestAll_Interrupted_LeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	begun := filepath.Join(t.TempDir(), "begun")
	ctx, cancel := context.WithCancel(t.Context())
	r := &runs{build: func(_, output string) error {
		script := fmt.Sprintf("#!/bin/sh\nmkdir $TMPDIR/sim-$$ && touch %s && exec sleep 60\n", begun)
		return os.WriteFile(output, []byte(script), 0o700)
	}}
	go func() {
		defer cancel()
		for range 1000 {
			if _, err := os.Stat(begun); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("no seed began")
	}()
	begin := time.Now()
	if err := r.all(ctx, 1, 4, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("all: %v", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %v to end", took)
	}
	for _, in := range []string{dir, scratch.InMemory()} {
		if left, err := filepath.Glob(filepath.Join(in, fmt.Sprintf("berth-sim-%d-*", os.Getpid()))); err != nil || left != nil {
			t.Errorf("it left %v, %v", left, err)
		}
	}
}
