package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Begun is a fault that has begun.
type Begun struct {
	// Targets are who it is done to, and Detail what exactly, for people.
	Targets []string
	Detail  string
	// Do is what is still to be done when it has been written down that the fault begins; nil for nothing: then it was done.
	Do func(ctx context.Context) error
	// End ends it. The world is as it was before then, as far as this fault goes.
	End func(ctx context.Context) error
}

// Begin begins a step. The error is one of the test, not of the cluster: a fault that finds nobody to be done to, as when
// nobody leads, is done to somebody.
func Begin(ctx context.Context, w World, s Step) (*Begun, error) {
	targets := pick(w, s)
	switch {
	case s.Kind == Flap:
		return flap(ctx, w, s, targets)
	case s.Clock():
		return clock(w, s, targets)
	case s.Network():
		l := linksOf(s, w, targets)
		undo, err := w.Degrade(l.change)
		return &Begun{Targets: l.targets, Detail: l.detail, End: func(context.Context) error { return undo() }}, err
	}
	switch s.Kind {
	case Kill:
		return &Begun{Targets: targets, Detail: "SIGKILL", End: each(targets, w.Start)}, each(targets, w.Kill)(ctx)
	case Pause:
		return &Begun{Targets: targets, Detail: "SIGSTOP", End: each(targets, w.Resume)}, each(targets, w.Pause)(ctx)
	case Restart:
		return &Begun{Targets: targets, Detail: "SIGTERM", End: each(targets, w.Start)}, each(targets, w.Stop)(ctx)
	case Transfer:
		return transfer(ctx, w, s)
	case Block, BlockIdentity:
		return block(w, s, targets), nil
	case Replace:
		added, err := w.Replace(ctx, targets[0])
		return &Begun{Targets: append(targets, added), Detail: added + " takes its place", End: nothing}, err
	case Damage:
		what, alive, err := w.Damage(ctx, targets[0], s.Draw)
		if err == nil && !alive {
			var added string
			added, err = w.Replace(ctx, targets[0])
			what += "; it refused to start, and " + added + " takes its place"
		}
		return &Begun{Targets: targets, Detail: what, End: nothing}, err
	}
	if s.Disk() {
		return disk(w, s, targets)
	}
	return nil, fmt.Errorf("nobody knows how to %s", s.Kind)
}

func nothing(context.Context) error { return nil }

// pick returns who a step is done to.
func pick(w World, s Step) []string {
	rng := rand.New(rand.NewPCG(s.Draw, 4))
	servers, leader := w.Servers(), w.Leader()
	one := func(list []string) []string {
		if len(list) == 0 {
			return nil
		}
		i := rng.IntN(len(list))
		return list[i : i+1]
	}
	switch s.Target {
	case Leader:
		if slices.Contains(servers, leader) {
			return []string{leader}
		}
	case Follower:
		if others := slices.DeleteFunc(slices.Clone(servers), func(n string) bool { return n == leader }); len(others) > 0 {
			return one(others)
		}
	case Minority:
		rng.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
		return servers[:max(1, (len(servers)-1)/2)]
	case Servers:
		return servers
	case Member:
		return one(w.Members())
	case Locker:
		return one(w.Lockers())
	case Client:
		return one(w.Askers())
	case Clients:
		return []string{ClientsHost}
	case Everyone:
		return slices.Concat(servers, w.Members(), w.Lockers(), w.Askers())
	}
	return one(servers)
}

// block has somebody, or an identity, be on the block list until the end. What a member owns ends by that at once, so it is written
// down before.
func block(w World, s Step, targets []string) *Begun {
	b := &Begun{Targets: targets, Detail: "on the block list"}
	if s.Kind == BlockIdentity {
		b.Targets = w.Identities()
		n := rand.New(rand.NewPCG(s.Draw, 8)).IntN(max(1, len(b.Targets)))
		b.Targets = b.Targets[min(n, len(b.Targets)):min(n+1, len(b.Targets))]
	}
	on := func(blocked bool) func(context.Context) error {
		return func(ctx context.Context) error {
			var errs []error
			for _, name := range b.Targets {
				errs = append(errs, w.Block(ctx, name, blocked))
			}
			return errors.Join(errs...)
		}
	}
	b.Do, b.End = on(true), on(false)
	return b
}

// flap cuts the targets off and lets them back, until the end.
func flap(ctx context.Context, w World, s Step, targets []string) (*Begun, error) {
	l := linksOf(Step{Fault: Fault{Kind: Cut}, Draw: s.Draw}, w, targets)
	undo := func() error { return nil }
	stop := repeat(ctx, flapEvery, func(n int) (err error) {
		if n%2 == 1 {
			return undo()
		}
		undo, err = w.Degrade(l.change)
		return err
	})
	return &Begun{Targets: targets, Detail: fmt.Sprintf("every %v", flapEvery), End: func(context.Context) error { return errors.Join(stop(), undo()) }}, nil
}

// transferEvery is how often the leadership is handed over.
const transferEvery = 700 * time.Millisecond

// transfer hands the leadership over, again and again, until the end. That it cannot be, at times, is no error of the test.
func transfer(ctx context.Context, w World, s Step) (*Begun, error) {
	var failed []string
	stop := repeat(ctx, transferEvery, func(int) error {
		if err := w.Transfer(ctx); err != nil {
			failed = append(failed, err.Error())
		}
		return nil
	})
	b := &Begun{Detail: fmt.Sprintf("every %v", transferEvery)}
	b.End = func(context.Context) error {
		err := stop()
		if len(failed) > 0 {
			b.Detail += fmt.Sprintf("; %d failed: %s", len(failed), strings.Join(failed[:1], ""))
		}
		return err
	}
	return b, nil
}

// repeat does something every so often, on a goroutine of its own, until stop is called, which waits and returns the errors.
func repeat(ctx context.Context, every time.Duration, do func(n int) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		t := time.NewTicker(every)
		defer t.Stop()
		var errs []error
		for n := 0; ; n++ {
			errs = append(errs, do(n))
			select {
			case <-ctx.Done():
				done <- errors.Join(errs...)
				return
			case <-t.C:
			}
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}
