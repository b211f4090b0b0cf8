package drivers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A token that is smaller than one before is refused; an equal one is taken as often as it comes.
func TestFence_StaleAndEqualTokens(t *testing.T) {
	each(t, func(t *testing.T, s store, _ string) {
		const large = math.MaxInt64 // 2^53, where numbers of Lua end, is smaller
		for _, tt := range []struct {
			token uint64
			want  error
		}{{7, nil}, {7, nil}, {6, errStale}, {10, nil}, {9, errStale}, {7, errStale}, {10, nil}, {large - 1, nil}, {large - 2, errStale}, {large, nil}, {large - 1, errStale}} {
			if err := s.write(t.Context(), tt.token, true); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("write with %d: %v, want %v", tt.token, err, tt.want)
			}
		}
		got, err := s.journal(t.Context())
		if want := []uint64{7, 7, 10, 10, large - 1, large}; err != nil || !slices.Equal(got, want) {
			t.Errorf("written: %v, %v; want %v", got, err, want)
		}
	})
}

// Eight writers write at once with tokens that grow: what is written never goes back. Without the guard it does.
func TestFence_ConcurrentWriters_NeverGoBack(t *testing.T) {
	each(t, func(t *testing.T, s store, _ string) {
		for _, guarded := range []bool{true, false} {
			if err := s.reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			const writers, writes = 8, 40
			var all sync.WaitGroup
			var mu sync.Mutex
			accepted := 0
			for w := range uint64(writers) {
				all.Go(func() {
					for n := range uint64(writes) {
						token := n*3 + w%5 + 1
						err := s.write(t.Context(), token, guarded)
						if err != nil && !errors.Is(err, errStale) {
							t.Errorf("write with %d: %v", token, err)
							return
						}
						mu.Lock()
						if err == nil {
							accepted++
						}
						mu.Unlock()
					}
				})
			}
			all.Wait()
			got, err := s.journal(t.Context())
			if err != nil || len(got) != accepted || accepted == 0 {
				t.Errorf("%d were accepted, %d written, %v", accepted, len(got), err)
			}
			if slices.IsSorted(got) != guarded {
				t.Errorf("guarded: %t; written in order: %t: %v", guarded, slices.IsSorted(got), got)
			}
		}
	})
}

// A process is stopped after it has looked at its lock, and before it writes; meanwhile another has the lock and writes. The
// first one's write is refused when it goes on. Without the guard it is what stays.
func TestFence_ProcessStoppedBeforeItsWrite_IsRefused(t *testing.T) {
	const rounds = 10
	each(t, func(t *testing.T, s store, where string) {
		for _, guarded := range []bool{true, false} {
			if err := s.reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			said := stopped(t, where, guarded, rounds, func(round uint64) {
				if err := s.write(t.Context(), 2*round+2, guarded); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
			got, err := s.journal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			refused := strings.Count(said, "refused\n")
			if guarded && (refused != rounds || len(got) != rounds || !slices.IsSorted(got)) {
				t.Errorf("guarded: %d of %d late writes were refused; written: %v", refused, rounds, got)
			}
			if !guarded && (refused != 0 || len(got) != 2*rounds || slices.IsSorted(got)) {
				t.Errorf("not guarded: %d of %d late writes were refused; written: %v: nothing is shown", refused, rounds, got)
			}
		}
	})
}

// stopped runs a writer that stops itself right before each of its writes, and calls meanwhile while it is stopped. It returns
// what the writer said.
func stopped(t *testing.T, where string, guarded bool, rounds uint64, meanwhile func(round uint64)) string {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "FENCE_WRITER="+where, fmt.Sprintf("FENCE_ROUNDS=%d", rounds), fmt.Sprintf("FENCE_GUARDED=%t", guarded))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	lines := bufio.NewScanner(out)
	var said strings.Builder
	for round := range rounds {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(c.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			t.Fatalf("round %d: the writer did not stop: %v, %v", round, status, err)
		}
		meanwhile(round)
		if err := c.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() {
			t.Fatalf("round %d: the writer says nothing: %v", round, lines.Err())
		}
		said.WriteString(lines.Text() + "\n")
	}
	return said.String()
}

// writer is the process that is stopped.
func writer(where string) {
	runtime.LockOSThread()
	s, err := open(where)
	if err != nil {
		panic(err)
	}
	var rounds uint64
	fmt.Sscan(os.Getenv("FENCE_ROUNDS"), &rounds)
	for round := range rounds {
		// Here it has looked at its lock. The signal is for this thread, or another one would be stopped first.
		if err := syscall.Tgkill(os.Getpid(), syscall.Gettid(), syscall.SIGSTOP); err != nil {
			panic(err)
		}
		err := s.write(context.Background(), 2*round+1, os.Getenv("FENCE_GUARDED") == "true")
		switch {
		case err == nil:
			fmt.Println("written")
		case errors.Is(err, errStale):
			fmt.Println("refused")
		default:
			fmt.Println(err)
		}
	}
}
