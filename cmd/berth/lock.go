package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) lockCommand() *cobra.Command {
	return groupCommand("lock", "Locks with fencing tokens: run a command under one, or take it by hand",
		a.lockRunCommand(), a.lockAcquireCommand(), a.lockRenewCommand(), a.lockReleaseCommand(), a.lockGetCommand(), a.lockListCommand(), a.lockBreakCommand(),
		a.lockSessionsCommand())
}

// lockFlags are how a lock is asked for.
type lockFlags struct {
	shared  bool
	permits uint32
	ttl     time.Duration
	wait    time.Duration
	delay   time.Duration
	holder  string
}

func (f *lockFlags) add(c *cobra.Command, ttl time.Duration) {
	host, _ := os.Hostname()
	c.Flags().BoolVar(&f.shared, "shared", false, "share the lock with others that say so (default: exclusive)")
	c.Flags().Uint32Var(&f.permits, "permits", 0, "take one permit of a semaphore of that size")
	c.Flags().DurationVar(&f.ttl, "ttl", ttl, "how long the lock lasts without a renewal, 1s to 5m")
	c.Flags().DurationVar(&f.wait, "wait", 0, "how long to wait for the lock (0: not at all)")
	c.Flags().StringVar(&f.holder, "holder", fmt.Sprintf("%s/%d", host, os.Getpid()), "who holds it, for people who look")
	c.Flags().Lookup("holder").DefValue = "host and process"
}

// mode checks the flags and returns how the lock is shared.
func (f *lockFlags) mode() (placement.LockMode, error) {
	session := placement.Session{TTL: f.ttl, Holder: f.holder}
	if err := session.Validate(); err != nil {
		return 0, usage("%v", err)
	}
	switch {
	case f.shared && f.permits != 0:
		return 0, usage("--shared and --permits: a lock is one or the other")
	case f.wait < 0:
		return 0, usage("--wait %v: it cannot be negative", f.wait)
	case f.shared:
		return placement.LockShared, nil
	case f.permits != 0:
		return placement.LockPermit, nil
	}
	return placement.LockExclusive, nil
}

func (a *app) lockAcquireCommand() *cobra.Command {
	var f lockFlags
	c := command("acquire NAME", "Take a lock, by a session of its own", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		mode, err := f.mode()
		if err != nil {
			return err
		}
		return a.ask(func(c *lookupclient.Client) error { return a.acquireLock(ctx, c, args[0], mode, &f) })
	})
	c.Long = `Take a lock for a script. A session is opened for it, which lasts for --ttl from then on, and for as long again from each
berth lock renew. Give the token to whatever the lock protects, and have it refuse smaller ones: a script that was stopped for
longer than the TTL has lost the lock, and may not know. To run one command under a lock, berth lock run does all of this.`
	c.Example = `  berth lock acquire nightly --ttl 1m --wait 30s -o json`
	f.add(c, 30*time.Second)
	c.Flags().DurationVar(&f.delay, "delay", 0, "how long the lock stays taken when its holder did not renew it, at most 5m")
	a.asking(c)
	return c
}

// turnMax is how long one call waits for a lock at most.
const turnMax = 50 * time.Second

func (a *app) acquireLock(ctx context.Context, c *lookupclient.Client, name string, mode placement.LockMode, f *lockFlags) error {
	if f.wait > turnMax {
		return usage("--wait %v: at most %v; berth lock run waits for longer", f.wait, turnMax)
	}
	ctx, cancel := context.WithTimeout(ctx, f.wait+a.timeout)
	defer cancel()
	resp, err := apiv1.NewLocksClient(c.Conn()).AcquireLock(ctx, &apiv1.AcquireLockRequest{
		Name: name, Mode: apiv1.LockMode_Name(mode), Permits: f.permits, Wait: durationpb.New(f.wait), Delay: durationpb.New(f.delay),
		Ttl: durationpb.New(f.ttl), Holder: f.holder,
	})
	if err != nil {
		return err
	}
	return a.printer.Print(resp, func(r *output.Rows) {
		r.Row("LOCK", "TOKEN", "SESSION", "TTL")
		r.Row(resp.Name, resp.Token, resp.Session, resp.Ttl.AsDuration())
	})
}

func (a *app) lockRenewCommand() *cobra.Command {
	var req apiv1.RenewLockRequest
	c := command("renew NAME", "Keep a lock for another TTL", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		req.Name = args[0]
		return a.ask(func(c *lookupclient.Client) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			resp, err := apiv1.NewLocksClient(c.Conn()).RenewLock(ctx, &req)
			if err != nil {
				return err
			}
			return a.printer.Print(resp, func(r *output.Rows) {
				r.Row("LOCK", "TOKEN", "SESSION", "TTL")
				r.Row(req.Name, resp.Token, req.Session, resp.Ttl.AsDuration())
			})
		})
	})
	c.Long = `Keep a lock for another TTL, from when the command was started. LOCK_LOST, exit status 5: stop at once what it protects.`
	sessionFlag(c, &req.Session)
	a.asking(c)
	return c
}

func sessionFlag(c *cobra.Command, session *uint64) {
	c.Flags().Uint64Var(session, "session", 0, "the session that berth lock acquire printed (needed)")
	_ = c.MarkFlagRequired("session")
}

func (a *app) lockReleaseCommand() *cobra.Command {
	req := apiv1.ReleaseLockRequest{Close: true}
	c := command("release NAME", "Give a lock up, and its session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		req.Name = args[0]
		return a.ask(func(c *lookupclient.Client) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			resp, err := apiv1.NewLocksClient(c.Conn()).ReleaseLock(ctx, &req)
			if err != nil {
				return err
			}
			return a.printer.Print(resp, func(r *output.Rows) {
				r.Row("LOCK", "SESSION", "STATE")
				r.Row(req.Name, req.Session, "released")
			})
		})
	})
	c.Long = `Give a lock up and close its session, when what it protects has stopped. Who waits has it at once.`
	sessionFlag(c, &req.Session)
	c.Flags().Uint64Var(&req.Token, "token", 0, "only under that token (0: whatever the session has)")
	a.asking(c)
	return c
}

func (a *app) lockGetCommand() *cobra.Command {
	c := command("get NAME", "Show who holds a lock, and who waits for it", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			resp, err := apiv1.NewLocksClient(c.Conn()).GetLock(ctx, &apiv1.GetLockRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.printer.Print(resp, func(r *output.Rows) { lockTable(r, resp.Lock) })
		})
	})
	a.asking(c)
	return c
}

// lockTable prints one lock, a row for each claim.
func lockTable(r *output.Rows, l *apiv1.Lock) {
	r.Row("LOCK", "STATE", "TOKEN", "HOLDER", "MODE", "LEFT", "SESSION")
	for _, c := range l.Claims {
		r.Row(l.Name, claimState(c), c.Token, c.Holder, lockMode(l, c), left(c), c.Session)
	}
	if more := int(l.Held+l.Waiting) - len(l.Claims); more > 0 {
		r.Line("and %s more", humanize.Comma(int64(more)))
	}
}

func claimState(c *apiv1.LockClaim) string {
	switch {
	case c.Lost != apiv1.LockClaim_KEPT:
		return "lost, " + strings.ToLower(c.Lost.String())
	case c.Held:
		return "held"
	}
	return "waits"
}

func lockMode(l *apiv1.Lock, c *apiv1.LockClaim) string {
	if l.Permits > 0 {
		return fmt.Sprintf("%d permits", l.Permits)
	}
	return strings.ToLower(c.Mode.String())
}

// left is how long the claim lasts without a renewal, or when it is lost, how long it keeps its place.
func left(c *apiv1.LockClaim) string {
	if c.Left == nil {
		return ""
	}
	return fmt.Sprint(c.Left.AsDuration().Round(100 * time.Millisecond))
}

func (a *app) lockListCommand() *cobra.Command {
	var limit uint32
	var all bool
	var req apiv1.ListLocksRequest
	c := command("list", "List the locks: who holds them, and how many wait", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if limit == 0 {
			return usage("--limit 0: at least 1, or --all")
		}
		return a.ask(func(c *lookupclient.Client) error { return a.listLocks(ctx, c, &req, limit, all) })
	})
	c.Long = `List the locks that somebody holds or waits for, by name. Each page is as of its own moment.`
	c.Flags().Uint32Var(&limit, "limit", 50, "how many to show")
	c.Flags().BoolVar(&all, "all", false, "show all")
	c.Flags().StringVar(&req.PageToken, "page", "", "go on behind this name")
	a.asking(c)
	return c
}

func (a *app) listLocks(ctx context.Context, c *lookupclient.Client, req *apiv1.ListLocksRequest, limit uint32, whole bool) error {
	var all apiv1.ListLocksResponse
	err := pages(limit, whole, func(size uint32) (n int, more bool, err error) {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		req.PageSize = size
		resp, err := apiv1.NewLocksClient(c.Conn()).ListLocks(ctx, req)
		if err != nil {
			return 0, false, err
		}
		all.Locks, all.Read, all.NextPageToken = append(all.Locks, resp.Locks...), resp.Read, resp.NextPageToken
		req.PageToken = resp.NextPageToken
		return len(resp.Locks), req.PageToken != "", nil
	})
	if err != nil {
		return err
	}
	err = output.List(&a.printer, &all, all.Locks, func(r *output.Rows) {
		r.Row("LOCK", "TOKEN", "HOLDER", "MODE", "HELD", "WAITING", "LEFT", "STATE")
		for _, l := range all.Locks {
			first := l.Claims[0]
			r.Row(l.Name, first.Token, first.Holder, lockMode(l, first), l.Held, l.Waiting, left(first), claimState(first))
		}
	})
	if err == nil && all.NextPageToken != "" && a.printer.Format != output.JSON {
		a.say("there are more after these %s: --page %s, or --all", humanize.Comma(int64(len(all.Locks))), strconv.Quote(all.NextPageToken))
	}
	return err
}

func (a *app) lockBreakCommand() *cobra.Command {
	var req apiv1.BreakLockRequest
	c := command("break NAME", "Take a lock away from who holds it", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		req.Name = args[0]
		return a.ask(func(c *lookupclient.Client) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			resp, err := apiv1.NewLocksClient(c.Conn()).BreakLock(ctx, &req)
			if err != nil {
				return err
			}
			if resp.FreeIn != nil {
				a.say("it is free when its holder has given it up, and in %v at the latest", resp.FreeIn.AsDuration().Round(100*time.Millisecond))
			}
			return a.printer.Print(resp, func(r *output.Rows) {
				if resp.Lock == nil {
					r.Row("LOCK", "STATE")
					r.Row(req.Name, "free")
					return
				}
				lockTable(r, resp.Lock)
			})
		})
	})
	c.Long = `Take a lock away from a holder that keeps its session and does not give the lock up. The holder is told with its next
keepalive. Others are granted the lock when it has given it up, or when every lease that it may rely on is over, never before:
breaking a lock does not make two holders.`
	c.Flags().Uint64Var(&req.Token, "token", 0, "only the claim of that token, also one that waits (0: all that hold the lock)")
	a.asking(c)
	return c
}
