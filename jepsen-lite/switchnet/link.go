package switchnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Limits of a Link.
const (
	// DelayMax bounds Delay and Jitter.
	DelayMax = 10 * time.Second
	// RateMin is the smallest BytesPerSecond: a frame takes half a second then.
	RateMin = 3000
	// PartsMax is certainty for Loss, Duplicate and Reorder.
	PartsMax = 10_000
)

// Link is how frames travel from one host to another, in that direction alone. The zero value is a perfect wire.
type Link struct {
	// Cut carries nothing.
	Cut bool
	// Delay is how long a frame travels, and Jitter by how much that differs, in both directions.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are how many of 10,000 frames are lost, come twice, or are overtaken by later ones.
	Loss, Duplicate, Reorder uint32
	// BytesPerSecond is how much fits through; zero is no limit. What waits for longer than a quarter of a second is lost.
	BytesPerSecond int
}

// Validate reports every fault of the Link at once.
func (l Link) Validate() error {
	var errs []error
	length := func(name string, d time.Duration) {
		if d < 0 || d > DelayMax {
			errs = append(errs, fmt.Errorf("%s %v: 0 to %v is allowed", name, d, DelayMax))
		}
	}
	parts := func(name string, n uint32) {
		if n > PartsMax {
			errs = append(errs, fmt.Errorf("%s %d: 0 to %d is allowed", name, n, PartsMax))
		}
	}
	length("Delay", l.Delay)
	length("Jitter", l.Jitter)
	parts("Loss", l.Loss)
	parts("Duplicate", l.Duplicate)
	parts("Reorder", l.Reorder)
	if l.BytesPerSecond != 0 && l.BytesPerSecond < RateMin {
		errs = append(errs, fmt.Errorf("BytesPerSecond %d: 0, or at least %d, is allowed", l.BytesPerSecond, RateMin))
	}
	return errors.Join(errs...)
}

const (
	// backlog is how long a frame may wait for its turn on a slow link. Not shorter: a burst of a TCP window would be
	// lost. Not longer: real devices lose frames rather than keep them for seconds.
	backlog = 250 * time.Millisecond
	// held is by how much a frame that is to be overtaken comes later.
	held = 2 * time.Millisecond
)

// wire is one direction between two hosts, with what its frames leave behind.
type wire struct {
	link Link
	free time.Time // when a slow link can take the next frame
	last time.Time // when the last frame that keeps its place arrives
	rng  *rand.Rand
}

// carry says when the copies of a frame arrive, if any: none, one or two.
func (w *wire) carry(now time.Time, bytes int) []time.Time {
	l := &w.link
	if l.Cut || w.happens(l.Loss) {
		return nil
	}
	at := now
	if l.BytesPerSecond > 0 {
		if w.free.After(at) {
			at = w.free
		}
		if at.Sub(now) > backlog {
			return nil
		}
		at = at.Add(time.Duration(bytes) * time.Second / time.Duration(l.BytesPerSecond))
		w.free = at
	}
	at = at.Add(l.Delay)
	if l.Jitter > 0 {
		at = at.Add(time.Duration(w.rng.Int64N(2*int64(l.Jitter)+1)) - l.Jitter)
	}
	if at.Before(now) {
		at = now
	}
	if w.happens(l.Reorder) {
		at = at.Add(held)
	} else {
		if w.last.After(at) {
			at = w.last
		}
		w.last = at
	}
	if w.happens(l.Duplicate) {
		return []time.Time{at, at}
	}
	return []time.Time{at}
}

func (w *wire) happens(parts uint32) bool { return parts > 0 && w.rng.Uint32N(PartsMax) < parts }
