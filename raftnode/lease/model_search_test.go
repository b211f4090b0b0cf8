package lease

import (
	"fmt"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// model is the protocol as states and steps. A state is a flat struct of bytes, and the same situation is the same bytes. A
// step is determined by its state and its code, so that a trace is a list of codes.
type model[S comparable] interface {
	start() S
	codes() []uint16                         // of every step, enabled or not
	step(s S, code uint16) (S, bool, string) // the next state; whether the step is enabled; what it violates
	describe(code uint16) string
	show(s *S) string
	reach(s *S, seen map[string]uint64) // counts what has to come about for the result to mean something
}

// found is what a search found.
type found struct {
	states, steps uint64
	depth         int
	all           bool // every state was seen that there is
	violated      string
	trace         []uint16
	took          time.Duration // of processor time, since machines are shared
	reached       map[string]uint64
}

// search looks at every state, breadth first, until one violates something, or so many were seen. Whole states are kept for
// two levels; of the others there is a fingerprint of 64 bits, the number of the state before, and the code of the step. Two
// of n states have one fingerprint, so that one of them is not looked at, with a chance below n²/2⁶⁵: 0.0003 for 100 million.
func search[S comparable](m model[S], most uint64) (f found) {
	began := processorTime()
	f.reached = map[string]uint64{}
	var prints fingerprints
	var before list[uint32]
	var by list[uint16]
	first := m.start()
	prints.add(fingerprint(&first))
	before.add(0)
	by.add(0)
	level := &list[S]{}
	level.add(first)
	n := uint32(0) // the number of the state at hand, in the order in which they are found
	codes := m.codes()
	end := func() {
		f.states, f.took = prints.used, processorTime()-began
	}
	for level.len > 0 {
		next := &list[S]{}
		for c, chunk := range level.chunks {
			for i := range chunk {
				s := &chunk[i]
				m.reach(s, f.reached)
				for _, code := range codes {
					after, enabled, violated := m.step(*s, code)
					if !enabled {
						continue
					}
					f.steps++
					if violated != "" {
						f.violated, f.depth = violated, f.depth+1
						f.trace = []uint16{code}
						for ; n != 0; n = before.at(n) {
							f.trace = append([]uint16{by.at(n)}, f.trace...)
						}
						end()
						return f
					}
					if prints.add(fingerprint(&after)) {
						before.add(n)
						by.add(code)
						next.add(after)
					}
				}
				n++
			}
			level.chunks[c] = nil
		}
		if next.len > 0 {
			f.depth++
		}
		if level = next; prints.used > most {
			end()
			return f
		}
	}
	f.all = true
	end()
	return f
}

// story is a trace in words, with the state after each step.
func story[S comparable](m model[S], f *found) string {
	var b strings.Builder
	s := m.start()
	fmt.Fprintf(&b, "      %-46s %s\n", "start", m.show(&s))
	for i, code := range f.trace {
		var enabled bool
		if s, enabled, _ = m.step(s, code); !enabled {
			panic("the trace cannot be told again")
		}
		fmt.Fprintf(&b, "  %2d. %-46s %s\n", i+1, m.describe(code), m.show(&s))
	}
	fmt.Fprintf(&b, "      violated: %s\n", f.violated)
	return b.String()
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fingerprint is of a struct of bytes, which has no padding. It is never zero.
func fingerprint[S comparable](s *S) uint64 {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
	h := uint64(0x9E3779B97F4A7C15) ^ uint64(len(bytes))
	for ; len(bytes) >= 8; bytes = bytes[8:] {
		h ^= *(*uint64)(unsafe.Pointer(&bytes[0]))
		h *= 0xff51afd7ed558ccd
		h ^= h >> 32
		h *= 0xc4ceb9fe1a85ec53
		h ^= h >> 29
	}
	for _, b := range bytes {
		h ^= uint64(b)
		h *= 0x100000001b3
		h ^= h >> 31
	}
	h ^= h >> 33
	h *= 0x62a9d9ed799705f5
	h ^= h >> 28
	return max(h, 1)
}

// fingerprints is a set of them, by open addressing.
type fingerprints struct {
	slots []uint64
	used  uint64
}

// add says whether it is a new one.
func (f *fingerprints) add(h uint64) bool {
	if f.used*10 >= uint64(len(f.slots))*7 {
		old := f.slots
		f.slots = make([]uint64, max(1<<16, len(old)*2))
		for _, x := range old {
			if x != 0 {
				f.put(x)
			}
		}
	}
	if !f.put(h) {
		return false
	}
	f.used++
	return true
}

func (f *fingerprints) put(h uint64) bool {
	mask := uint64(len(f.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch f.slots[i] {
		case h:
			return false
		case 0:
			f.slots[i] = h
			return true
		}
	}
}

// list grows in chunks, so that it is never in memory twice.
type list[T any] struct {
	chunks [][]T
	len    int
}

const chunkLen = 1 << 11

func (l *list[T]) add(x T) {
	if l.len%chunkLen == 0 {
		l.chunks = append(l.chunks, make([]T, 0, chunkLen))
	}
	last := len(l.chunks) - 1
	l.chunks[last] = append(l.chunks[last], x)
	l.len++
}

func (l *list[T]) at(i uint32) T { return l.chunks[i/chunkLen][i%chunkLen] }
