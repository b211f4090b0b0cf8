package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// lockWaitMax is how long one call may wait for a lock.
	lockWaitMax = 60 * time.Second
	// lockPatience is how long a claim waits when the call that waits for it is gone.
	lockPatience = 30 * time.Second
	// takeUpWithin is how long a claim is left alone when the call that waits for it is gone before its time is over: its caller may have lost
	// the connection, or a server in between, and make the same call again.
	takeUpWithin = time.Second
	// withdrawBudget bounds the withdrawal of a claim whose call is over.
	withdrawBudget = 2 * time.Second
	// claimsShown and claimsListed are how many claims an answer about one lock shows, and each lock of a list.
	claimsShown, claimsListed = 100, 10
)

// AcquireLock gives a lock to a session.
func (s *Server) AcquireLock(ctx context.Context, req *apiv1.AcquireLockRequest) (*apiv1.AcquireLockResponse, error) {
	a, err := acquiringOf(req)
	if err != nil {
		return nil, err
	}
	var open fsm.Command
	if req.Session == 0 {
		if open, err = openCommand(req.Ttl, req.Holder, "", req.Retry); err != nil {
			return nil, err
		}
		open.Request = itemRequest(open.Request, 0)
	}
	if a.tenured, err = s.tenure(); err != nil {
		return nil, err
	}
	if req.Session == 0 {
		session, remembered, err := a.open(ctx, open)
		if err != nil {
			return nil, err
		}
		a.body.Session, a.opened, a.again, a.changed = session.ID, true, remembered, true
	}
	held, err := a.run(ctx)
	if err != nil && a.changed {
		err = laterError(err)
	}
	if err != nil {
		if r, _, _ := apiv1.ReasonOf(err); a.opened && !a.takenUp && r != apiv1.ReasonNoLeader && r != apiv1.ReasonOutcomeUnknown {
			a.closeSession(ctx)
		}
		return nil, err
	}
	v := a.group.View()
	session, _ := v.Session(a.body.Session)
	return &apiv1.AcquireLockResponse{
		Name: a.body.Name, Token: uint64(a.token), Session: uint64(a.body.Session), Held: held, Ttl: durationpb.New(session.TTL), Read: s.proof(ctx, v),
	}, nil
}

// acquiring is one call that asks for a lock.
type acquiring struct {
	tenured
	command fsm.Command
	body    *fsm.AcquireLock
	wait    time.Duration
	stay    bool
	token   placement.Epoch
	opened  bool // the session is one for this lock
	again   bool // it was opened by the same call before
	changed bool // a session was opened, or a claim was made
	takenUp bool // the claim is another call's
}

func acquiringOf(req *apiv1.AcquireLockRequest) (*acquiring, error) {
	c, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	if req.Session == 0 {
		c.Request = itemRequest(c.Request, 1)
	}
	a := &acquiring{command: c, wait: req.Wait.AsDuration(), stay: req.Stay}
	if a.wait < 0 || a.wait > lockWaitMax {
		return nil, invalid("wait %v: 0 to %v is allowed", a.wait, lockWaitMax)
	}
	if a.stay && req.Session == 0 {
		return nil, invalid("stay: a place in the queue needs a session of its own")
	}
	a.body = &fsm.AcquireLock{
		Name: req.Name, Session: placement.SessionID(req.Session), Permits: req.Permits, Wait: a.wait > 0 || a.stay,
		Delay: req.Delay.AsDuration(), Patience: lockPatience, Mode: placement.LockMode(min(max(req.Mode, 0), 255)),
	}
	if req.Mode == apiv1.LockMode_UNSPECIFIED {
		a.body.Mode = placement.LockExclusive
	}
	checked := *a.body
	checked.Session = max(1, checked.Session)
	if err := checked.Validate(); err != nil {
		return nil, invalid("%v", err)
	}
	a.command.Body = a.body
	return a, nil
}

// run asks for the lock and waits for it. Without an error it says whether the lock is held.
func (a *acquiring) run(ctx context.Context) (held bool, err error) {
	r, err := a.propose(ctx, a.command)
	if err != nil {
		return false, err
	}
	if err := lockError(a.tenured, a.body.Name, &r); err != nil {
		return false, err
	}
	a.token, a.changed = r.Token, a.changed || r.Verdict == placement.Done
	timer := time.NewTimer(a.wait)
	defer timer.Stop()
	w := a.driver.WatchClaim(a.body.Name, a.token)
	defer a.driver.UnwatchClaim(w)
	if a.again { // not before there is a watch, which a call that lingers looks for
		if _, _, err := a.keep(ctx, a.body.Session); err != nil {
			return false, err
		}
	}
	for {
		held, err := a.look()
		if held || err != nil {
			return held, err
		}
		select {
		case <-w.C:
			continue
		case <-timer.C:
		case <-ctx.Done():
			if !a.stay && errors.Is(ctx.Err(), context.Canceled) {
				return a.linger(ctx, w)
			}
		case <-a.driver.Tenure().Context().Done():
			return false, outcomeError(group.ErrNotLeader)
		}
		if a.stay {
			return false, nil
		}
		if a.driver.UnwatchClaim(w) {
			return false, a.leave()
		}
		return a.withdraw(ctx)
	}
}

// leave leaves the claim to another call. Its error is that of a lock that is held.
func (a *acquiring) leave() error {
	a.takenUp = true
	l, _ := a.group.View().Lock(a.body.Name)
	return lockHeld(a.tenured, l)
}

// linger waits for as long as the same call may take to be made again, and ends what the call has made when it is not. It fails when this
// server does not lead any more: then the next one has the claim in its hands.
func (a *acquiring) linger(ctx context.Context, w *leader.ClaimWatch) (held bool, err error) {
	a.driver.LingerOnClaim(w)
	d := takeUpWithin
	if at, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(at)) // it holds for the same call, too
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.driver.Tenure().Context().Done():
		return false, outcomeError(group.ErrNotLeader)
	}
	if a.driver.UnwatchClaim(w) {
		return false, a.leave()
	}
	if a.opened {
		return false, lost(a.body.Name, a.token, "who asked for it has gone away") // its session is closed: the lock may have been granted
	}
	return a.withdraw(ctx)
}

// look says whether the claim holds the lock. The error is LOCK_LOST when it will not any more.
func (a *acquiring) look() (held bool, err error) {
	l, _ := a.group.View().Lock(a.body.Name)
	c, held, ok := l.Claim(a.token)
	switch {
	case !ok:
		return false, lost(a.body.Name, a.token, "it was given up, broken, or its session is over")
	case c.Lost != placement.LockKept:
		return false, lost(a.body.Name, a.token, "it was "+c.Lost.String())
	}
	return held, nil
}

// withdraw gives up the place in the queue. A lock that was granted meanwhile is held.
func (a *acquiring) withdraw(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawBudget)
	defer cancel()
	before, _ := a.group.View().Lock(a.body.Name)
	r, err := a.propose(ctx, fsm.Command{Body: &fsm.ReleaseLock{Name: a.body.Name, Session: a.body.Session, Token: a.token, WaitingAlone: true}})
	switch {
	case err != nil:
		return false, err
	case r.Verdict == placement.LockGranted:
		return a.look()
	case r.Verdict == placement.Done:
		return false, lockHeld(a.tenured, before)
	}
	return false, lost(a.body.Name, a.token, "it was given up, broken, or its session is over")
}

// closeSession ends a session that was opened for a lock that is not to be had.
func (a *acquiring) closeSession(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawBudget)
	defer cancel()
	_, _ = a.propose(ctx, fsm.Command{Body: &fsm.CloseSession{Session: a.body.Session}}) // otherwise its lease ends it
}

// lockError turns a refusal of a command about sessions and locks into the error of a call; nil when it is no refusal.
func lockError(t tenured, name string, r *fsm.Result) error {
	switch r.Verdict {
	case placement.LockHeld:
		l, _ := t.group.View().Lock(name)
		return lockHeld(t, l)
	case placement.LockMismatch:
		return fail(apiv1.ReasonLockHeld, map[string]string{"lock": name}, "the lock %.80q is in use in another way: its claims are of a semaphore of another size, or of none, or the session has one in another mode", name)
	case placement.LockNotFound:
		return fail(apiv1.ReasonLockNotFound, map[string]string{"lock": name}, "nobody holds the lock %.80q or waits for it", name)
	case placement.NotHolder:
		return lost(name, r.Token, "there is no such claim to it")
	case placement.LockLost:
		return lost(name, r.Token, "it was broken; give it up before asking for it again")
	case placement.SessionGone:
		return fail(apiv1.ReasonLockLost, map[string]string{"lock": name}, "the session is over: it did not keep its lease, was closed, or never was")
	case placement.LimitReached:
		return invalid("a table of locks is full: there are at most %d sessions, %d claims to all locks, %d to one, and %d of one session",
			snapshot.SessionsMax, snapshot.ClaimsMax, snapshot.LockClaimsMax, snapshot.SessionClaimsMax)
	}
	return verdictError(placement.Identity{}, r)
}

func lost(name string, token placement.Epoch, why string) error {
	data := map[string]string{"lock": name}
	if token != 0 {
		data["token"] = strconv.FormatUint(uint64(token), 10)
	}
	return fail(apiv1.ReasonLockLost, data, "the lock %.80q is not held: %s", name, why)
}

// lockHeld names the oldest claim that holds a lock, of a state that may be newer than the refusal: there is none when it was given up since.
func lockHeld(t tenured, l snapshot.Lock) error {
	data := map[string]string{"lock": l.Name}
	text := "was taken by somebody who has given it up since"
	for c := range l.Claims() {
		m := t.claimMessage(t.group.View(), l.Name, c, true)
		data["token"], data["session"], data["holder"] = strconv.FormatUint(m.Token, 10), strconv.FormatUint(m.Session, 10), m.Holder
		data["left"] = m.Left.AsDuration().Round(time.Millisecond).String()
		text = fmt.Sprintf("is taken by %q (session %d), whose lease ends in %v unless it is kept", m.Holder, m.Session, m.Left.AsDuration().Round(100*time.Millisecond))
		if c.Lost != placement.LockKept {
			text = fmt.Sprintf("is taken for %v more, since its holder was lost (%v)", m.Left.AsDuration().Round(100*time.Millisecond), c.Lost)
		}
		break
	}
	if n := l.Use.Held - 1; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	if l.Use.Waiting > 0 {
		text += fmt.Sprintf("; %d wait for it", l.Use.Waiting)
	}
	return fail(apiv1.ReasonLockHeld, data, "the lock %.80q %s", l.Name, text)
}

// RenewLock keeps the session of a lock.
func (s *Server) RenewLock(ctx context.Context, req *apiv1.RenewLockRequest) (*apiv1.RenewLockResponse, error) {
	if err := lockName(req.Name); err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	id := placement.SessionID(req.Session)
	ttl, _, err := t.keep(ctx, id)
	if err != nil {
		return nil, err
	}
	c, held, ok := t.group.View().ClaimOf(id, req.Name)
	switch {
	case !ok, req.Token != 0 && uint64(c.Token) != req.Token:
		return nil, lost(req.Name, placement.Epoch(req.Token), "the session has no such claim to it")
	case c.Lost != placement.LockKept:
		return nil, lost(req.Name, c.Token, "it was "+c.Lost.String())
	case !held:
		return nil, lost(req.Name, c.Token, "the session still waits for it")
	}
	return &apiv1.RenewLockResponse{Token: uint64(c.Token), Ttl: durationpb.New(ttl)}, nil
}

func lockName(name string) error {
	if err := placement.ValidateLockName(name); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// ReleaseLock gives a claim up.
func (s *Server) ReleaseLock(ctx context.Context, req *apiv1.ReleaseLockRequest) (*apiv1.ReleaseLockResponse, error) {
	c, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	base := c.Request
	c.Request = itemRequest(base, 0)
	c.Body = &fsm.ReleaseLock{Name: req.Name, Session: placement.SessionID(req.Session), Token: placement.Epoch(req.Token), WaitingAlone: req.WaitingAlone}
	r, err := t.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	failed := lockError(t, req.Name, &r)
	if r.Verdict == placement.LockGranted {
		return nil, fail(apiv1.ReasonLockHeld, map[string]string{"lock": req.Name}, "the lock %.80q was granted meanwhile, and stays so", req.Name)
	}
	if req.Close && (failed == nil || !unknownOutcome(failed)) {
		c.Request = itemRequest(base, 1)
		c.Body = &fsm.CloseSession{Session: placement.SessionID(req.Session)}
		if _, err := t.propose(ctx, c); err != nil {
			return nil, err
		}
	}
	if failed != nil {
		return nil, failed
	}
	return &apiv1.ReleaseLockResponse{Read: s.proof(ctx, t.group.View())}, nil
}

func unknownOutcome(err error) bool {
	r, _, _ := apiv1.ReasonOf(err)
	return r == apiv1.ReasonOutcomeUnknown
}

// BreakLock takes a lock away from who holds it.
func (s *Server) BreakLock(ctx context.Context, req *apiv1.BreakLockRequest) (*apiv1.BreakLockResponse, error) {
	c, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	c.Body = &fsm.BreakLock{Name: req.Name, Token: placement.Epoch(req.Token)}
	r, err := t.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := lockError(t, req.Name, &r); err != nil {
		return nil, err
	}
	v := t.group.View()
	resp := &apiv1.BreakLockResponse{Changed: r.Verdict == placement.Done, Read: s.proof(ctx, v)}
	l, ok := v.Lock(req.Name)
	if !ok {
		return resp, nil
	}
	resp.Lock = t.lockMessage(v, l, claimsShown)
	for c, held := range l.Claims() {
		if !held {
			break
		}
		if c.Lost != placement.LockKept {
			left := t.claimMessage(v, l.Name, c, held).Left
			if resp.FreeIn == nil || left.AsDuration() > resp.FreeIn.AsDuration() {
				resp.FreeIn = left
			}
		}
	}
	return resp, nil
}

// GetLock returns one lock.
func (s *Server) GetLock(ctx context.Context, req *apiv1.GetLockRequest) (*apiv1.GetLockResponse, error) {
	if err := lockName(req.Name); err != nil {
		return nil, err
	}
	t, v, err := s.leaderView(ctx)
	if err != nil {
		return nil, err
	}
	l, ok := v.Lock(req.Name)
	if !ok {
		return nil, lockError(t, req.Name, &fsm.Result{Verdict: placement.LockNotFound})
	}
	return &apiv1.GetLockResponse{Lock: t.lockMessage(v, l, claimsShown), Read: s.proof(ctx, v)}, nil
}

// ListLocks returns a page of the locks. The token of a page is the last name of the one before.
func (s *Server) ListLocks(ctx context.Context, req *apiv1.ListLocksRequest) (*apiv1.ListLocksResponse, error) {
	size, err := pageSize(req.PageSize)
	if err != nil {
		return nil, err
	}
	if req.PageToken != "" && placement.ValidateLockName(req.PageToken) != nil {
		return nil, invalid("page token: it is none of a list's")
	}
	t, v, err := s.leaderView(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListLocksResponse{Read: s.proof(ctx, v)}
	for l := range v.Locks(req.PageToken) {
		if len(resp.Locks) == size {
			resp.NextPageToken = resp.Locks[size-1].Name
			break
		}
		resp.Locks = append(resp.Locks, t.lockMessage(v, l, claimsListed))
	}
	return resp, nil
}

// lockMessage is a lock with at most so many claims.
func (t tenured) lockMessage(v *snapshot.View, l snapshot.Lock, claims int) *apiv1.Lock {
	out := &apiv1.Lock{Name: l.Name, Permits: l.Use.Permits, Held: uint32(l.Use.Held), Waiting: uint32(l.Use.Waiting)}
	for c, held := range l.Claims() {
		if len(out.Claims) == claims {
			break
		}
		out.Claims = append(out.Claims, t.claimMessage(v, l.Name, c, held))
	}
	return out
}

func (t tenured) claimMessage(v *snapshot.View, name string, c placement.Claim, held bool) *apiv1.LockClaim {
	s, open := v.Session(c.Session)
	out := &apiv1.LockClaim{
		Token: uint64(c.Token), Session: uint64(c.Session), Holder: s.Holder, Mode: apiv1.LockMode_Name(c.Mode), Held: held,
		Lost: apiv1.LockClaim_Loss(c.Lost),
	}
	switch {
	case c.Lost != placement.LockKept:
		out.Left = durationpb.New(t.driver.DelayLeft(name, c))
	case open:
		out.Left = durationpb.New(t.driver.SessionLeft(s))
	}
	return out
}
