package lease

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestPace_WhatWasPublishedLongerAgoThanGrace(t *testing.T) {
	const ms = Instant(time.Millisecond)
	p := NewPace(200 * time.Millisecond)
	if got := p.Due(1 << 60); got != 0 {
		t.Errorf("due of nothing: %d", got)
	}
	p.Note(10, 0)
	p.Note(11, 10*ms) // within a quarter of the first
	p.Note(20, 100*ms)
	for _, tt := range []struct {
		now  Instant
		want uint64
	}{{200 * ms, 0}, {200*ms + 1, 10}, {300 * ms, 10}, {300*ms + 1, 20}, {9000 * ms, 20}} {
		if got := p.Due(tt.now); got != tt.want {
			t.Errorf("at %v: %d, want %d", time.Duration(tt.now), got, tt.want)
		}
	}
}

// It never asks for more than was published, is never behind by more than grace and a quarter, and stays small.
func TestPace_AgreesWithAList(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const grace = 100
	p := NewPace(grace)
	var list []mark
	index, now := uint64(1), Instant(0)
	for range 20_000 {
		now += Instant(r.IntN(7))
		index += uint64(r.IntN(3))
		p.Note(index, now)
		list = append(list, mark{index, now})
		most, least := uint64(0), uint64(0)
		for i := len(list) - 1; i >= 0 && least == 0; i-- {
			if most == 0 && now > list[i].at.Add(grace) {
				most = list[i].index
			}
			if now > list[i].at.Add(grace+grace/4+7) {
				least = list[i].index
			}
		}
		if got := p.Due(now); got > most || got < least {
			t.Fatalf("at %d due is %d, not within %d and %d", now, got, least, most)
		}
		if len(p.marks) > 8 {
			t.Fatalf("%d marks", len(p.marks))
		}
	}
}
