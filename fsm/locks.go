package fsm

import (
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (m *Machine) applyAcquireLock(b []byte) (Result, error) {
	c, err := decodeAcquireLock(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	v := m.edit.View()
	if _, open := v.Session(c.Session); !open {
		return Result{Verdict: placement.SessionGone}, nil
	}
	lock, _ := v.Lock(c.Name)
	if claim, held, ok := v.ClaimOf(c.Session, c.Name); ok {
		return reacquired(&c, lock, claim, held), nil
	}
	atOnce := lock.Use.AdmitsAtOnce(c.Mode)
	switch {
	case !lock.Use.Fits(c.Mode, c.Permits):
		return Result{Verdict: placement.LockMismatch}, nil
	case !atOnce && !c.Wait:
		return Result{Verdict: placement.LockHeld}, nil
	case v.ClaimCount() >= snapshot.ClaimsMax, lock.Use.Held+lock.Use.Waiting >= snapshot.LockClaimsMax,
		v.SessionClaimCount(c.Session) >= snapshot.SessionClaimsMax:
		return Result{Verdict: placement.LimitReached}, nil
	}
	name := strings.Clone(c.Name) // it points into the entry
	claim := placement.Claim{Token: m.epoch(), Session: c.Session, Mode: c.Mode, Delay: c.Delay, Patience: c.Patience}
	m.edit.AddClaim(name, c.Permits, claim)
	if atOnce {
		m.edit.Grant(name)
		m.lockChanged(LockGranted, name, claim)
	} else {
		m.lockChanged(LockQueued, name, claim)
	}
	return Result{Verdict: placement.Done, Token: claim.Token, Queued: !atOnce}, nil
}

// reacquired is the answer to a session that asks for a lock to which it has a claim.
func reacquired(c *AcquireLock, lock snapshot.Lock, claim placement.Claim, held bool) Result {
	switch {
	case claim.Lost != placement.LockKept:
		return Result{Verdict: placement.LockLost, Token: claim.Token}
	case claim.Mode != c.Mode || lock.Use.Permits != c.Permits:
		return Result{Verdict: placement.LockMismatch, Token: claim.Token}
	}
	return Result{Verdict: placement.Already, Token: claim.Token, Queued: !held}
}

func (m *Machine) applyReleaseLock(b []byte) (Result, error) {
	c, err := decodeReleaseLock(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	v := m.edit.View()
	if _, ok := v.Lock(c.Name); !ok {
		return Result{Verdict: placement.LockNotFound}, nil
	}
	claim, held, ok := v.ClaimOf(c.Session, c.Name)
	switch {
	case !ok, c.Token != 0 && c.Token != claim.Token:
		return Result{Verdict: placement.NotHolder}, nil
	case held && c.WaitingAlone:
		return Result{Verdict: placement.LockGranted, Token: claim.Token}, nil
	}
	m.removeClaim(strings.Clone(c.Name), claim, LockReleased)
	return Result{Verdict: placement.Done, Token: claim.Token}, nil
}

func (m *Machine) applyBreakLock(b []byte) (Result, error) {
	name, token, err := decodeLockToken(b)
	if err != nil || (&BreakLock{Name: name}).Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	name = strings.Clone(name)
	lock, ok := m.edit.View().Lock(name)
	if !ok {
		return Result{Verdict: placement.LockNotFound}, nil
	}
	if token == 0 {
		return m.breakHolders(lock), nil
	}
	claim, held, ok := lock.Claim(token)
	switch {
	case !ok:
		return Result{Verdict: placement.NotHolder}, nil
	case claim.Lost != placement.LockKept:
		return Result{Verdict: placement.Already, Token: token}, nil
	case !held:
		m.removeClaim(name, claim, LockLost)
	default:
		m.breakClaim(name, claim)
	}
	return Result{Verdict: placement.Done, Token: token}, nil
}

// breakHolders breaks every claim that holds the lock.
func (m *Machine) breakHolders(lock snapshot.Lock) Result {
	var holders []placement.Claim
	for c := range lock.Holders() {
		holders = append(holders, c)
	}
	if len(holders) == 0 {
		return Result{Verdict: placement.Already}
	}
	for _, c := range holders {
		m.breakClaim(lock.Name, c)
	}
	return Result{Verdict: placement.Done, Token: holders[0].Token}
}

func (m *Machine) breakClaim(name string, c placement.Claim) {
	s, _ := m.edit.View().Session(c.Session)
	m.loseClaim(name, c, placement.LockBroken, s.TTL)
}

func (m *Machine) applyEndLockDelay(b []byte) (Result, error) {
	name, token, err := decodeLockToken(b)
	if err != nil || (&EndLockDelay{Name: name, Token: token}).Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	lock, ok := m.edit.View().Lock(name)
	if !ok {
		return Result{Verdict: placement.LockNotFound}, nil
	}
	claim, _, ok := lock.Claim(token)
	switch {
	case !ok:
		return Result{Verdict: placement.NotHolder}, nil
	case claim.Lost == placement.LockKept:
		return Result{Verdict: placement.LockGranted, Token: token}, nil
	}
	m.removeClaim(strings.Clone(name), claim, LockReleased)
	return Result{Verdict: placement.Done, Token: token}, nil
}

// loseClaim takes a lock away from a claim that holds it. ttl is that of its session.
func (m *Machine) loseClaim(name string, c placement.Claim, how placement.LockLoss, ttl time.Duration) {
	lost, keeps := c.Lose(how, ttl)
	switch {
	case !keeps:
		m.removeClaim(name, lost, LockLost)
	case c.Lost == placement.LockKept:
		m.edit.SetClaim(name, lost)
		m.lockChanged(LockLost, name, lost)
	}
}

// removeClaim takes a claim out of its lock, and lets in who may hold it then.
func (m *Machine) removeClaim(name string, c placement.Claim, t ChangeType) {
	m.edit.RemoveClaim(name, c.Token)
	m.lockChanged(t, name, c)
	for {
		lock, _ := m.edit.View().Lock(name)
		next, ok := lock.Next()
		if !ok || !lock.Use.Admits(next.Mode) {
			return
		}
		m.edit.Grant(name)
		m.lockChanged(LockGranted, name, next)
	}
}

func (m *Machine) lockChanged(t ChangeType, name string, c placement.Claim) {
	if m.Observed {
		m.changed(Change{Type: t, Session: c.Session, Lock: &LockClaim{Name: name, Claim: c}})
	}
}
