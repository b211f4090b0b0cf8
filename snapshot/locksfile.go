package snapshot

import (
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// The frames of sessions and locks, in a file.

func (v *View) encodeSessions(f *frameWriter) error {
	var m snapshotpb.Sessions
	left := v.SessionCount()
	for s := range v.Sessions(0) {
		left--
		m.Sessions = append(m.Sessions, &snapshotpb.Session{Id: uint64(s.ID), TtlNs: uint64(s.TTL), Holder: s.Holder, Owner: s.Owner})
		if len(m.Sessions) == recordsPerFrame || left == 0 {
			if err := f.message(frameSessions, &m); err != nil {
				return err
			}
			m.Sessions = nil
		}
	}
	return nil
}

// claimsPerFrame is where a frame of locks ends. A lock is not cut, so the largest frame has LockClaimsMax more.
const claimsPerFrame = 4096

func (v *View) encodeLocks(f *frameWriter) error {
	var m snapshotpb.Locks
	left, claims := v.LockCount(), 0
	for l := range v.Locks("") {
		left--
		m.Locks = append(m.Locks, lockMessage(l))
		if claims += l.record.claims.count; claims < claimsPerFrame && left > 0 {
			continue
		}
		if err := f.message(frameLocks, &m); err != nil {
			return err
		}
		m.Locks, claims = nil, 0
	}
	return nil
}

func lockMessage(l Lock) *snapshotpb.Lock {
	out := &snapshotpb.Lock{Name: l.Name, Permits: l.record.permits, Granted: uint64(l.record.granted)}
	for c := range l.Claims() {
		out.Claims = append(out.Claims, &snapshotpb.Claim{
			Token: uint64(c.Token), Session: uint64(c.Session), Mode: uint32(c.Mode), DelayNs: uint64(c.Delay), PatienceNs: uint64(c.Patience),
			Lost: uint32(c.Lost),
		})
	}
	return out
}

func (d *decoder) decodeSessions(payload []byte) error {
	var m snapshotpb.Sessions
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, p := range m.Sessions {
		s := placement.Session{ID: placement.SessionID(p.GetId()), TTL: durationOf(p.GetTtlNs()), Holder: p.GetHolder(), Owner: p.GetOwner()}
		if err := s.Validate(); err != nil {
			return d.f.corrupt("a session is not valid", err)
		}
		if s.ID <= d.session || d.e.v.SessionCount() == SessionsMax {
			return d.f.corrupt("the sessions are too many, or not in order", nil)
		}
		if uint64(s.TTL) > d.e.v.Cluster.MaxSessionTTL {
			return d.f.corrupt("a session has a longer TTL than any ever had", nil)
		}
		d.session = s.ID
		d.e.OpenSession(s)
	}
	return nil
}

// durationOf reads nanoseconds; what is too long for any rule stays so.
func durationOf(ns uint64) time.Duration { return time.Duration(min(ns, 1<<63-1)) }

func (d *decoder) decodeLocks(payload []byte) error {
	var m snapshotpb.Locks
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, p := range m.Locks {
		if err := placement.ValidateLockName(p.GetName()); err != nil {
			return d.f.corrupt("a lock is not valid", err)
		}
		if p.GetName() <= d.lock || len(p.GetClaims()) == 0 || len(p.GetClaims()) > LockClaimsMax {
			return d.f.corrupt("the locks are not in order, or one has no claims or too many", nil)
		}
		d.lock = p.GetName()
		if what := d.claims(p); what != "" {
			return d.f.corrupt(fmt.Sprintf("the lock %q: %s", p.GetName(), what), nil)
		}
	}
	return nil
}

// claims takes the claims to one lock in. It returns what is wrong, or nothing.
func (d *decoder) claims(p *snapshotpb.Lock) string {
	e, name := d.e, p.GetName()
	use, last := placement.LockUse{Permits: p.GetPermits()}, placement.Epoch(0)
	for _, pc := range p.GetClaims() {
		c := placement.Claim{
			Token: placement.Epoch(pc.GetToken()), Session: placement.SessionID(pc.GetSession()), Mode: placement.LockMode(min(pc.GetMode(), 255)),
			Delay: durationOf(pc.GetDelayNs()), Patience: durationOf(pc.GetPatienceNs()), Lost: placement.LockLoss(min(pc.GetLost(), 255)),
		}
		held := pc.GetToken() <= p.GetGranted()
		if c.Token <= last || !use.Fits(c.Mode, p.GetPermits()) {
			return "its claims are not in order, or do not fit together"
		}
		if what := d.claim(name, &c, p.GetPermits(), held); what != "" {
			return what
		}
		if last == 0 {
			use.Mode = c.Mode
		}
		switch {
		case !held:
			use.Waiting++
		case use.Admits(c.Mode):
			use.Held++
		default:
			return "it is held by claims that exclude each other"
		}
		last = c.Token
		e.addClaim(name, p.GetPermits(), c)
	}
	e.setGranted(name, placement.Epoch(p.GetGranted()), use.Held)
	l, _ := e.v.Lock(name)
	if next, ok := l.Next(); ok && use.Admits(next.Mode) {
		return "it is free for a claim that waits"
	}
	return ""
}

// claim checks one claim. It returns what is wrong, or nothing.
func (d *decoder) claim(name string, c *placement.Claim, permits uint32, held bool) string {
	v := &d.e.v
	if err := c.Validate(permits); err != nil {
		return "a claim is not valid: " + err.Error()
	}
	if c.Lost > placement.LockBroken || c.Lost != placement.LockKept && !held || c.Session == 0 || v.ClaimCount() == ClaimsMax {
		return "a claim makes no sense, or there are too many"
	}
	if _, open := v.Session(c.Session); !open {
		if c.Lost == placement.LockKept {
			return "a claim is of a session that is not open"
		}
		return ""
	}
	if _, _, twice := v.ClaimOf(c.Session, name); twice || v.SessionClaimCount(c.Session) == SessionClaimsMax {
		return "a session has two claims to it, or too many in all"
	}
	return ""
}
