package api

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// watchPin keeps the view of a snapshot that is being sent, as long as its reader goes on reading: pinTime from page to page.
// One that does not read keeps no view in memory.
type watchPin struct {
	view  atomic.Pointer[snapshot.View]
	timer *time.Timer
	once  sync.Once
	free  func()
}

// pin waits for its turn, and keeps the newest view.
func (w *watcher) pin(ctx context.Context) (*watchPin, error) {
	turns := w.server.watching.snapshots
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-w.server.stopping:
		return nil, stopped()
	}
	p := &watchPin{free: func() { <-turns }}
	p.view.Store(w.group.View())
	p.timer = time.AfterFunc(pinTime, p.release)
	return p, nil
}

// release lets go of the view, and lets the next one have its turn. It may be called twice.
func (p *watchPin) release() {
	p.once.Do(func() {
		p.timer.Stop()
		p.view.Store(nil)
		p.free()
	})
}

// reset sends a snapshot of what is wanted, and goes on behind it. When the reader is so slow that the view is let go of, or
// events behind it are lost, it begins again.
func (w *watcher) reset(ctx context.Context, why apiv1.WatchReset_Why) error {
	for {
		w.out, w.count, w.lost = nil, 0, false
		if why != apiv1.WatchReset_BEGIN {
			w.server.watching.resets.Add(1)
		}
		p, err := w.pin(ctx)
		if err != nil {
			return err
		}
		whole, err := w.sendState(p, why)
		p.release()
		if err != nil {
			return err
		}
		var ok bool
		if w.at, ok = w.ring.After(w.index); whole && ok {
			return w.mark()
		}
		why = apiv1.WatchReset_BEHIND
	}
}

// sendState sends the records of a pinned view, page by page. whole is false when the view was let go of.
func (w *watcher) sendState(p *watchPin, why apiv1.WatchReset_Why) (whole bool, err error) {
	s := &stateScan{filter: w.filter, classes: w.filter.classes()}
	for begins := true; begins || len(s.classes) > 0; begins = false {
		m := &apiv1.WatchResponse{Partial: true}
		v := p.view.Load()
		if v == nil {
			return false, nil
		}
		if w.index = v.Index; begins {
			m.Reset_ = &apiv1.WatchReset{Why: why, Index: v.Index}
		}
		m.Records = s.page(v)
		v = nil // not kept while the reader is waited for
		if err := w.stream.Send(m); err != nil {
			return false, err
		}
		p.timer.Reset(pinTime)
	}
	return p.view.Load() != nil, nil
}

// stateScan is where a snapshot for a watcher goes on, and the records of the page at hand.
type stateScan struct {
	filter  *watchFilter
	classes []func(*stateScan, *snapshot.View) (whole bool) // from the one at hand on
	list    []*apiv1.WatchRecord
	bytes   int

	// Where the class at hand goes on.
	cursor  snapshot.Cursor
	name    string
	session placement.SessionID
	live    map[string]uint32
}

// page is the next records; a class that is through makes room for the next one.
func (s *stateScan) page(v *snapshot.View) []*apiv1.WatchRecord {
	s.list, s.bytes = nil, 0
	if len(s.classes) > 0 && s.classes[0](s, v) {
		s.classes, s.cursor, s.name = s.classes[1:], 0, ""
	}
	list := s.list
	s.list = nil
	return list
}

// full says that the page takes no more.
func (s *stateScan) full() bool { return len(s.list) >= watchSend || s.bytes >= watchBytes }

func (s *stateScan) add(r *apiv1.WatchRecord) {
	s.list, s.bytes = append(s.list, r), s.bytes+proto.Size(r)
}

// classes are those of the records of which some event is wanted.
func (f *watchFilter) classes() (list []func(*stateScan, *snapshot.View) bool) {
	identities, anybody := f.kind != "" || f.prefix != "", f.member == ""
	if !identities && f.wantsAny(apiv1.Event_MEMBER_JOINED, apiv1.Event_MEMBER_DRAINING, apiv1.Event_MEMBER_BLOCKED, apiv1.Event_MEMBER_SUPERSEDED,
		apiv1.Event_MEMBER_LIVE, apiv1.Event_MEMBER_LEFT, apiv1.Event_MEMBER_EXPIRED) {
		list = append(list, (*stateScan).members)
	}
	if f.prefix == "" && anybody && f.wantsAny(apiv1.Event_KIND_CHANGED) {
		list = append(list, (*stateScan).kinds)
	}
	if f.wantsAny(apiv1.Event_BLOCK_ADDED, apiv1.Event_BLOCK_REMOVED, apiv1.Event_RETRY_THROTTLED) {
		list = append(list, (*stateScan).blocks)
	}
	if f.wantsAny(apiv1.Event_PLACED, apiv1.Event_SETTLED, apiv1.Event_FAILED, apiv1.Event_STOPPING, apiv1.Event_UNSETTLED, apiv1.Event_REMOVED, apiv1.Event_MOVED) {
		list = append(list, (*stateScan).placements)
	}
	if !identities && anybody && f.wantsAny(apiv1.Event_SESSION_OPENED, apiv1.Event_SESSION_ENDED) {
		list = append(list, (*stateScan).sessions)
	}
	if !identities && anybody && f.wantsAny(apiv1.Event_LOCK_QUEUED, apiv1.Event_LOCK_GRANTED, apiv1.Event_LOCK_RELEASED, apiv1.Event_LOCK_LOST) {
		list = append(list, (*stateScan).locks)
	}
	return list
}

func (s *stateScan) placements(v *snapshot.View) (whole bool) {
	s.cursor, whole = v.Scan(snapshot.Filter{Kind: s.filter.kind, Prefix: s.filter.prefix, Member: s.filter.member}, s.cursor, listScanMax, func(p snapshot.Placement) bool {
		if s.full() {
			return false
		}
		s.add(&apiv1.WatchRecord{Placement: placementMessage(p.Identity, p.Entry, p.Owner)})
		return true
	})
	return whole
}

// members are in no order, so a place among them is their number.
func (s *stateScan) members(v *snapshot.View) (whole bool) {
	n := snapshot.Cursor(0)
	for m, load := range v.Members() {
		if n++; n <= s.cursor || s.filter.member != "" && m.ID != s.filter.member {
			continue
		}
		if s.full() {
			return false
		}
		s.cursor = n
		s.add(&apiv1.WatchRecord{Member: memberMessage(m, load)})
	}
	return true
}

func (s *stateScan) kinds(v *snapshot.View) (whole bool) {
	if s.live == nil {
		s.live = liveMembers(v)
	}
	for name := range v.Kinds() {
		if name <= s.name || s.filter.kind != "" && name != s.filter.kind {
			continue
		}
		if s.full() {
			return false
		}
		s.name = name
		s.add(&apiv1.WatchRecord{Kind: kindMessage(v, name, s.live[name])})
	}
	return true
}

// blocks has those of crash loops also for who wants to know of retries that are held back: they stand for those that are.
func (s *stateScan) blocks(v *snapshot.View) (whole bool) {
	for b := range v.BlocksAfter(s.name) {
		if s.full() {
			return false
		}
		s.name = b.Key()
		if s.filter.wants(apiv1.Event_BLOCK_ADDED, b.Identity, b.Member) || s.filter.wants(apiv1.Event_BLOCK_REMOVED, b.Identity, b.Member) ||
			b.By == fsm.BlockedByCrashes && b.Member == "" && s.filter.wants(apiv1.Event_RETRY_THROTTLED, b.Identity, "") {
			s.add(&apiv1.WatchRecord{Block: blockMessage(&b)})
		}
	}
	return true
}

func (s *stateScan) sessions(v *snapshot.View) (whole bool) {
	for x := range v.Sessions(s.session) {
		if s.full() {
			return false
		}
		s.session = x.ID
		s.add(&apiv1.WatchRecord{Session: &apiv1.Session{
			Id: uint64(x.ID), Ttl: durationpb.New(x.TTL), Holder: x.Holder, Owner: x.Owner, Claims: uint32(v.SessionClaimCount(x.ID)),
		}})
	}
	return true
}

// locks has all claims to a lock on one page.
func (s *stateScan) locks(v *snapshot.View) (whole bool) {
	for l := range v.Locks(s.name) {
		if s.full() {
			return false
		}
		s.name = l.Name
		var claims []*apiv1.LockClaim
		for c, held := range l.Claims() {
			holder, _ := v.Session(c.Session)
			claims = append(claims, &apiv1.LockClaim{
				Token: uint64(c.Token), Session: uint64(c.Session), Holder: holder.Holder, Mode: apiv1.LockMode_Name(c.Mode), Held: held, Lost: apiv1.LockClaim_Loss(c.Lost),
			})
		}
		for part := range slices.Chunk(claims, claimsShown) {
			s.add(&apiv1.WatchRecord{Lock: &apiv1.Lock{Name: l.Name, Permits: l.Use.Permits, Held: uint32(l.Use.Held), Waiting: uint32(l.Use.Waiting), Claims: part}})
		}
	}
	return true
}
