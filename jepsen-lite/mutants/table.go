package mutants

// All are all mutants, those of the simulation first.
func All() []Mutant {
	var all []Mutant
	for _, list := range [][]Mutant{ofLeases(), ofMembers(), ofLocks(), ofState(), ofWatches(), ofRaft(), ofRestores(), ofDisks()} {
		all = append(all, list...)
	}
	return all
}

// ofLeases are those of the read leases and the barrier: what they break is seen by look-ups.
func ofLeases() []Mutant {
	stale := []string{"order", "linearizable", "durable", "log"}
	return []Mutant{
		{
			Name: "stale-reads", About: "servers answer from what they have, without a proof that it is the newest", Checkers: stale,
			patches: []patch{{"raftnode/reads.go", "	last := error(group.ErrNotLeader)\n	for {\n", "	last := error(group.ErrNotLeader)\n	for {\n		if g := r.node.group(); g != nil {\n			return g.View(), nil\n		}\n"}},
		},
		{
			Name: "no-pulse-for-reads", About: "who believes to lead answers reads without a pulse", Checkers: stale,
			patches: []patch{{"raftnode/reads.go", "		p, err := g.Pulse(ctx, 0)\n		return p.Index, err\n", "		return g.View().Index, nil\n"}},
		},
		{
			Name: "barrier-ignores-holders", About: "a removal is complete when the leader sees it, whoever holds a read lease (S5)", Checkers: stale,
			patches: []patch{{"raftnode/lease/tenure.go", "min(index, t.holders.lowest(now))", "index"}},
		},
		{
			Name: "no-wait", About: "a new leader does not wait for the read leases that others granted (S3)", Checkers: stale,
			patches: []patch{{"raftnode/lease/tenure.go", "waitUntil: now.Add(Stretch(s.FormerReadLease))", "waitUntil: now"}},
		},
		{
			Name: "lease-never-ends", About: "a server answers under a read lease that is over (H3)", Checkers: stale,
			patches: []patch{{"raftnode/lease/readlease.go", " && now < l.Expiry", ""}},
		},
		{
			Name: "lease-from-the-answer", About: "a read lease is counted from the answer, and not from the request (H1)", Checkers: stale,
			patches: []patch{{"raftnode/holding.go", "	h.told = \"\"\n	g.Hold", "	h.told = \"\"\n	l.Expiry = h.node.config.Seams.Now().Add(time.Duration(resp.ReadLease))\n	g.Hold"}},
		},
		{
			Name: "own-lease-from-the-proof", About: "a leader counts its own read lease from when its pulse commits, not from before (S8)", Checkers: stale,
			Package: "raftnode", Test: "TestReadLease_SlowLinks_IsCountedFromTheRequest",
			patches: []patch{{"raftnode/internal/group/readlease.go", "own, ok := p.Tenure.own(p.T0)", "own, ok := p.Tenure.own(g.config.Now())"}},
			Gap:     "an acknowledgement has to be on its way for longer than an election takes: by then the others have stood for one",
		},
		{
			Name: "floor-ignored", About: "a lease serves a state that is older than its floor (H3)", Checkers: stale,
			patches: []patch{{"raftnode/lease/readlease.go", "index >= l.Floor && ", ""}},
		},
		{
			Name: "grant-counts-as-ack", About: "a renewal is taken for the holder's word that it has published as much (S5)", Checkers: stale,
			patches: []patch{{"raftnode/lease/holders.go", "		return old.Low, true\n", "		old.Low, h.dirty = max(old.Low, r.Low), true\n		return old.Low, true\n"}},
		},
		{
			Name: "late-grant-counts", About: "a grant counts that answers an older request (H2)", Checkers: stale,
			Package: "raftnode/lease", Test: "TestModel_AllRules_NothingIsViolated",
			patches: []patch{{"raftnode/lease/asking.go", "!a.open || nonce != a.nonce", "!a.open"}},
			Gap:     "a request that is given up is cancelled, and its answer goes with it",
		},
		{
			Name: "no-stretch", About: "clocks are taken to run alike: no lease is stretched", Checkers: append([]string{"owner", "lock", "fence"}, stale...),
			patches: []patch{{"raftnode/lease/instant.go", "return d + d/4", "return d"}},
		},
		{
			Name: "foreign-term", About: "a leader that was deposed takes its successor's removals for complete (S6)", Checkers: stale,
			Package: "raftnode/lease", Test: "TestTenure_OtherTerm_BarrierStays",
			patches: []patch{{"raftnode/lease/tenure.go", "t.waited && term == t.Term", "t.waited"}},
			Gap:     "the tenure ends as Raft steps down, before an entry of the successor can be there, unless a goroutine stands still; the model finds it, as rule S6 own term",
		},
		{
			Name: "no-tombstones", About: "what is removed is gone at once, before the barrier (F3)", Checkers: append([]string{"run"}, stale...),
			Refusal: "is overwritten at barrier",
			patches: []patch{{"placement/entry.go", "	if removed <= barrier {\n", "	if removed <= barrier || removed > 0 {\n"}},
		},
		{
			Name: "lease-answers-anything", About: "a server answers under its read lease also what is not settled there (H3)", Checkers: stale,
			patches: []patch{{"raftnode/internal/api/reading.go", "case !f(v):", "case !f(v) && false:"}},
		},
		{
			Name: "index-not-awaited", About: "a follower answers before it has what the leader told it to have", Checkers: stale,
			patches: []patch{{"raftnode/internal/group/group.go", "return g.Await(ctx, func(v *snapshot.View) bool { return v.Index >= index })", "return g.View(), nil"}},
		},
		{
			Name: "leader-believed", About: "hashicorp/raft's VerifyLeader takes the place of a pulse (S2)", Checkers: append([]string{"owner", "lock", "fence"}, stale...),
			Package: "raftnode/internal/group", Test: "TestFaultStaleVerifyLeader",
			patches: []patch{{"raftnode/internal/group/group.go", "	return g.batcher.pulse(ctx, delay)\n", "	t := g.Tenure()\n	if t == nil || g.raft.VerifyLeader().Error() != nil {\n		return Pulse{}, ErrNotLeader\n	}\n	return Pulse{T0: g.config.Now(), Index: g.View().Index, Tenure: t}, nil\n"}},
			Gap:     "an acknowledgement has to be on its way for longer than an election takes; the model finds it, as rule S2 sound",
		},
		{
			Name: "revealed-early", About: "a member is told of its release before everybody sees it (S7)", Checkers: stale,
			Package: "raftnode", Test: "TestReadLease_ReleasedByItsOwner_NobodyIsToldBeforeAllSeeIt",
			patches: []patch{{"raftnode/internal/api/memberreports.go", "m.group.AwaitComplete(ctx, removed) != nil", "false"}},
			Gap:     "nobody else hears of it from the member",
		},
	}
}

// ofMembers are those of members and activations: two owners at a time.
func ofMembers() []Mutant {
	two := []string{"owner", "lock", "fence"}
	return []Mutant{
		{
			Name: "no-self-fence", About: "members and holders of locks go on when their lease has run out", Scenario: "pauses-of-owners", Checkers: two,
			patches: []patch{{"lookupclient/life.go", "return l.lease().Left(lease.Instant(now))", "return time.Hour"}},
		},
		{
			Name: "early-expiry", About: "the leader gives members a quarter of the time that it promised them", Checkers: two,
			patches: []patch{{"raftnode/lease/members.go", "full: Stretch(maxTTL)", "full: Stretch(maxTTL) / 4"}},
		},
		{
			Name: "members-from-the-answer", About: "a member counts its lease from the answer, and not from when it asked (M2)", Checkers: two,
			patches: []patch{{"lookupclient/loop.go", "		if asked, ok := l.asking.Answered(x.Alive.Nonce); ok {\n			l.kept(time.Duration(asked), ", "		if _, ok := l.asking.Answered(x.Alive.Nonce); ok {\n			l.kept(l.m.config.Now(), "}},
		},
		{
			Name: "keepalive-without-pulse", About: "who believes to lead answers keepalives without a pulse (M3)", Checkers: two,
			patches: []patch{{"raftnode/internal/leader/driver.go", "	p, err := d.group.Pulse(ctx, patience)\n", "	p, err := group.Pulse{T0: d.config.Now(), Tenure: d.tenure}, error(nil)\n"}},
		},
		{
			Name: "marked-is-kept", About: "an incarnation that is marked to expire is still answered (M4)", Checkers: two,
			Package: "raftnode/lease", Test: "TestModel_AllRules_NothingIsViolated",
			patches: []patch{{"raftnode/lease/members.go", "if !alive || m.expiring[inc] {", "if !alive {"}},
			Gap:     "nobody is marked before the lease is over, and a life that is over takes no answer (lookupclient, life.go); the model, whose members do, finds it, as rule M4 mark",
		},
		{
			Name: "new-leader-does-not-wait", About: "a new leader takes members' leases to be half over (M3)", Checkers: two, Seeds: 72,
			patches: []patch{{"raftnode/lease/members.go", "		m.seen[inc] = begun\n", "		m.seen[inc] = begun.Add(-m.full / 2)\n"}},
		},
		{
			Name: "released-while-it-runs", About: "a member releases an activation before it has stopped (M6)", Checkers: two,
			patches: []patch{{"lookupclient/hosting.go", "	l.m.tasks.Go(func() {\n		run(a)\n		l.m.post(func() { l.ended(a) })\n", "	context.AfterFunc(a.ctx, func() { l.m.post(func() { l.ended(a) }) })\n	l.m.tasks.Go(func() {\n		run(a)\n"}},
		},
		{
			Name: "ack-before-commit", About: "a removal is acknowledged when it is proposed, and not when it is committed", Checkers: append([]string{"order", "linearizable"}, two...),
			patches: []patch{{"raftnode/internal/api/remove.go", "	r, err := t.group.Propose(ctx, encoded)\n",
				"	if ctx.Err() == nil {\n		go func() { _, _ = t.group.Propose(context.WithoutCancel(ctx), encoded) }()\n		return &apiv1.RemoveResponse{Done: true, Read: s.proof(ctx, t.group.View())}, nil\n	}\n	r, err := t.group.Propose(ctx, encoded)\n"}},
		},
		{
			Name: "owner-not-asked", About: "a removal ends a settled placement at once, without its owner (F5)", Checkers: append([]string{"order"}, two...),
			patches: []patch{{"fsm/placements.go", "		return e.Evict(h.epoch)\n", "		if after, v := e.Evict(h.epoch); v != placement.Done || after.Phase != placement.Settled {\n			return after, v\n		}\n		return placement.Entry{Phase: placement.Tombstone, Removed: m.out.Index}, placement.Done\n"}},
		},
		{
			Name: "any-epoch-confirms", About: "a confirmation counts under an epoch that is over", Checkers: append([]string{"order", "linearizable"}, two...), Seeds: 72,
			patches: []patch{{"placement/transition.go", "	case e.Epoch != epoch:\n		return EpochMismatch\n	case e.Owner != owner:", "	case e.Owner != owner:"}},
		},
	}
}

// ofLocks are those of sessions and locks.
func ofLocks() []Mutant {
	two := []string{"lock", "fence"}
	return []Mutant{
		{
			Name: "sessions-expire-early", About: "the leader gives sessions a quarter of the time that it promised them", Checkers: two,
			patches: []patch{{"raftnode/lease/sessions.go", "		s.full[id] = Stretch(ttl)\n", "		s.full[id] = Stretch(ttl) / 4\n"}},
		},
		{
			Name: "sessions-from-the-answer", About: "a session counts its lease from the answer, and not from when it asked", Checkers: two,
			patches: []patch{{"lookupclient/locksession.go", "s.life.extend(asked, resp.Ttl.AsDuration())", "s.life.extend(s.now(), resp.Ttl.AsDuration())"}},
		},
		{
			Name: "granted-twice", About: "a lock is granted whoever holds it", Checkers: two,
			patches: []patch{{"fsm/locks.go", "atOnce := lock.Use.AdmitsAtOnce(c.Mode)", "atOnce := true"}},
		},
		{
			Name: "all-let-in", About: "when a lock becomes free all who wait for it get it", Checkers: two,
			patches: []patch{{"fsm/locks.go", "if !ok || !lock.Use.Admits(next.Mode) {", "if !ok {"}},
		},
		{
			Name: "session-without-pulse", About: "who believes to lead gives sessions more time without a pulse", Checkers: two,
			patches: []patch{{"raftnode/internal/leader/locks.go", "	p, err := d.group.Pulse(ctx, d.config.Patience)\n", "	p, err := group.Pulse{T0: d.config.Now(), Tenure: d.tenure}, error(nil)\n"}},
		},
		{
			Name: "sessions-half-over", About: "a new leader takes sessions' leases to be half over", Checkers: two,
			patches: []patch{{"raftnode/lease/sessions.go", "		s.due.Set(id, now.Add(s.full[id]))\n", "		s.due.Set(id, now.Add(s.full[id]/2))\n"}},
		},
		{
			Name: "marked-session-is-kept", About: "a session that is marked to expire is still answered", Checkers: two,
			Package: "raftnode/lease", Test: "TestModel_AllRules_NothingIsViolated",
			patches: []patch{{"raftnode/lease/sessions.go", "if !open || !known || s.expiring[id] {", "if !open || !known {"}},
			Gap:     "nobody is marked before the lease is over, and a session that is over takes no answer (lookupclient, locksession.go); the model, whose sessions do, finds it, as rule M4 mark, sessions",
		},
		{
			Name: "any-token-releases", About: "a lock is released under a token that is over", Checkers: two,
			Package: "fsm", Test: "TestLocks_EveryStateAndCommand",
			patches: []patch{{"fsm/locks.go", "case !ok, c.Token != 0 && c.Token != claim.Token:", "case !ok:"}},
			Gap:     "a holder asks for a lock again only when it has released the former one",
		},
	}
}

// ofState are those of what a command does, and of what is said of it.
func ofState() []Mutant {
	answers := []string{"order", "linearizable", "durable", "owner", "log", "requests"}
	differ := []string{"replicas", "run", "order", "linearizable", "owner", "log"}
	return []Mutant{
		{
			Name: "time-in-apply", About: "carrying out a command reads the clock", Checkers: differ,
			patches: []patch{
				{"fsm/machine.go", "	\"fmt\"\n", "	\"fmt\"\n	\"time\"\n"},
				{"fsm/machine.go", "m.advanceTime(m.entry.batch.Time)", "m.advanceTime(uint64(time.Now().UnixMilli()))"},
			},
		},
		{
			Name: "map-order-in-apply", About: "who gets a placement depends on the order of a map", Checkers: differ,
			patches: []patch{{"fsm/placements.go", "	c := p.strategy.Choose(m.question(p, q), p.candidates)\n", "	c := p.strategy.Choose(m.question(p, q), p.candidates)\n	for _, x := range map[int]*placement.Member{0: p.candidates[0], 1: p.candidates[len(p.candidates)-1]} {\n		c.Owner = x.Incarnation\n		break\n	}\n"}},
		},
		{
			Name: "stale-terms-act", About: "what a leader proposed in its last term acts when it leads again (F1)", Checkers: answers,
			Package: "fsm", Test: "TestScripts",
			patches: []patch{{"fsm/machine.go", "if m.entry.batch.Term != term { // F1", "if false { // F1"}},
			Gap:     "the library makes no entry of another term than its leader's, and a leader proposes nothing for a term that it knows to be over",
		},
		{
			Name: "unknown-is-refused", About: "an outcome that is not known is told as a refusal", Checkers: answers,
			patches: []patch{{"raftnode/internal/group/batch.go", "unknown := &UnknownError{Term: next.tenure.Term, Err: err}", "unknown := ErrNotLeader"}},
		},
		{
			Name: "requests-forgotten", About: "a request that was carried out is carried out again", Checkers: append([]string{"lock"}, answers...),
			patches: []patch{{"fsm/machine.go", "old := m.edit.Recall(c.request); old != nil {", "old := m.edit.Recall(c.request); old != nil && m.place < 0 {"}},
		},
		{
			Name: "retry-is-another-request", About: "a client gives each try of a change a request id of its own", Checkers: append([]string{"lock"}, answers...),
			patches: []patch{
				{"lookupclient/retry.go", "		e := c.classify(ctx, err, x.changes)\n", "		e := c.classify(ctx, err, x.changes)\n		if x.safe {\n			x.req.GetRetry().RequestId = ulid.Make().String()\n		}\n"},
				{"lookupclient/retry.go", "			x.req.GetRetry().Again = true\n", ""},
			},
		},
		{
			Name: "epochs-restart", About: "epochs are counted anew from time to time, as after a restore that keeps the generation", Checkers: append([]string{"fence"}, answers...),
			patches: []patch{{"fsm/machine.go", "v.Index-v.Cluster.EpochBase, m.place", "(v.Index-v.Cluster.EpochBase)%97, m.place"}},
		},
		{
			Name: "blocked-member-chosen", About: "a member on the block list goes on being given placements", Checkers: []string{"blocks", "run"},
			Refusal: "the blocks say otherwise",
			patches: []patch{{"fsm/blocks.go", "member != nil && member.State != placement.MemberBlocked {", "member != nil && member.State == placement.MemberSuperseded {"}},
		},
		{
			Name: "blocked-identity-placed", About: "an identity on the block list is placed", Checkers: []string{"blocks"},
			patches: []patch{{"fsm/placements.go", "snapshot.Subject{Identity: c.Identity}); blocked {\n			return e, placement.Blocked", "snapshot.Subject{Identity: c.Identity}); blocked && e.Phase != placement.Absent {\n			return e, placement.Blocked"}},
		},
	}
}

// ofRestores are those of a cluster that is made of a saved state.
func ofRestores() []Mutant {
	return []Mutant{
		{
			Name: "generation-kept", About: "a restored cluster goes on in the generation of the saved one, and counts its epochs anew", Scenario: "restores", Checkers: []string{"restore"},
			patches: []patch{{"fsm/restore.go", "c.ID, c.Generation, c.EpochBase = cluster, uint16(generation), v.Index", "c.ID, c.EpochBase = cluster, v.Index"}},
		},
	}
}

// ofWatches are those of what watchers are told.
func ofWatches() []Mutant {
	told := []string{"watch"}
	return []Mutant{
		{
			Name: "watch-skips", About: "a watcher that goes on misses what happened at the index behind that", Checkers: told,
			patches: []patch{{"raftnode/internal/events/read.go", "return k != nil && k.Index > index //", "return k != nil && k.Index > index+1 //"}},
		},
		{
			Name: "watch-repeats", About: "a watcher that goes on is told once more what happened at the index that it goes on from", Checkers: told,
			patches: []patch{{"raftnode/internal/events/read.go", "return k != nil && k.Index > index //", "return k != nil && k.Index >= index //"}},
		},
	}
}

// ofRaft are those of hashicorp/raft and of what it is given.
func ofRaft() []Mutant {
	lost := []string{"order", "linearizable", "durable", "replicas", "run", "lock", "owner", "terms", "fence", "log", "progress"}
	return []Mutant{
		{
			Name: "commit-by-one", About: "hashicorp/raft: an entry is committed when the fastest server has it", Checkers: lost,
			raft: []patch{{"commitment.go", "matched[(len(matched)-1)/2]", "matched[len(matched)-1]"}},
		},
		{
			Name: "vote-without-log", About: "hashicorp/raft: a vote is given without a look at the candidate's log", Checkers: lost,
			raft: []patch{
				{"raft.go", "if lastTerm > req.LastLogTerm {\n		r.logger.Warn(\"rejecting vote", "if false && lastTerm > req.LastLogTerm {\n		r.logger.Warn(\"rejecting vote"},
				{"raft.go", "if lastTerm == req.LastLogTerm && lastIdx > req.LastLogIndex {\n		r.logger.Warn(\"rejecting vote", "if false && lastTerm == req.LastLogTerm && lastIdx > req.LastLogIndex {\n		r.logger.Warn(\"rejecting vote"},
				{"raft.go", "if lastTerm > req.LastLogTerm {\n		r.logger.Warn(\"rejecting pre-vote", "if false && lastTerm > req.LastLogTerm {\n		r.logger.Warn(\"rejecting pre-vote"},
				{"raft.go", "if lastTerm == req.LastLogTerm && lastIdx > req.LastLogIndex {\n		r.logger.Warn(\"rejecting pre-vote", "if false && lastTerm == req.LastLogTerm && lastIdx > req.LastLogIndex {\n		r.logger.Warn(\"rejecting pre-vote"},
			},
		},
		{
			Name: "log-not-matched", About: "hashicorp/raft: entries are taken without a look at the one before them", Checkers: lost,
			raft: []patch{{"raft.go", "		if a.PrevLogTerm != prevLogTerm {\n", "		if false && a.PrevLogTerm != prevLogTerm {\n"}},
		},
		{
			Name: "suffix-kept", About: "hashicorp/raft: entries of a former leader stay where the new one has others", Checkers: lost,
			raft: []patch{{"raft.go", "			if entry.Term != storeEntry.Term {\n", "			if false && entry.Term != storeEntry.Term {\n"}},
		},
		{
			Name: "old-leader-heard", About: "hashicorp/raft: entries are taken from the leader of a term that is over", Checkers: lost,
			raft: []patch{{"raft.go", "	// Ignore an older term\n	if a.Term < r.getCurrentTerm() {\n		return\n	}\n\n	// Increase", "	// Ignore an older term\n	if a.Term < r.getCurrentTerm() {\n		resp.Term = a.Term\n	}\n\n	// Increase"}},
		},
		{
			Name: "commit-of-old-terms", About: "hashicorp/raft: an entry of a former term is committed by being counted", Checkers: lost,
			Package: "raftnode/internal/group", Test: "TestRaft_EntryOfAFormerTerm_IsNotCommittedByItself",
			raft: []patch{{"commitment.go", "quorumMatchIndex > c.commitIndex && quorumMatchIndex >= c.startIndex", "quorumMatchIndex > c.commitIndex"}},
			Gap:  "it takes three leaders one after the other, of which the first and the last are one server, each cut off at its moment",
		},
		{
			Name: "heartbeats-fast", About: "heartbeats do not go through Raft's own goroutine (hashicorp/raft#695)", Checkers: lost,
			Package: "raftnode/internal/group", Test: "TestFault695_HeartbeatsWaitForTheDisk",
			patches: []patch{{"raftnode/internal/group/transport.go", "func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}", "func (t *transport) SetHeartbeatHandler(f func(raft.RPC)) { t.NetworkTransport.SetHeartbeatHandler(f) }"}},
			Gap:     "a new leader's heartbeat has to come between two steps of the old one's goroutine",
		},
		{
			Name: "double-vote", About: "hashicorp/raft: a server votes for everybody who asks in a term", Checkers: lost, Seeds: 72,
			raft: []patch{{"raft.go", "if lastVoteTerm == req.Term && lastVoteCandBytes != nil {", "if false && lastVoteTerm == req.Term && lastVoteCandBytes != nil {"}},
		},
		{
			Name: "vote-in-two-steps", About: "the term of a vote and its candidate are written one after the other (hashicorp/raft#661)", Checkers: lost,
			Package: "raftnode/internal/storage", Test: "TestVoteStore_CrashBetweenTermAndCandidate_LeavesTheOldVote",
			patches: []patch{{"raftnode/internal/storage/vote.go", "if string(key) == voteTerm {", "if false {"}},
			Gap:     "a server has to be killed between the two writes, and be asked again within one election",
		},
		{
			Name: "vote-forgotten", About: "the vote is not written to the disk", Checkers: lost,
			Package: "raftnode/internal/storage", Test: "TestVoteStore_FlippedByte_IsRefusedOrHarmless",
			patches: []patch{{"raftnode/internal/storage/vote.go", "	err := s.guard.write(\"write vote\", func() error {\n", "	err := s.guard.write(\"write vote\", func() error {\n		if string(key) == voteCand {\n			return nil\n		}\n"}},
			Gap:     "a server has to be killed, start, and be asked again within one election",
		},
	}
}

// ofDisks are those that only a loss of power shows: they need the disks of package lossyfs.
func ofDisks() []Mutant {
	lost := []string{"run", "durable", "order", "linearizable", "log"}
	return []Mutant{
		{
			Name: "no-sync", About: "nothing is synced to the disk", Scenario: "power-loss", Checkers: lost, Refusal: "is corrupt",
			patches: []patch{
				{"raftnode/internal/storage/bolt.go", "&bbolt.Options{\n", "&bbolt.Options{\n\t\tNoSync: true,\n"},
				{"raftnode/internal/storage/log.go", "BoltOptions: boltOptions()", "BoltOptions: boltOptions(), NoSync: true"},
			},
		},
		{
			Name: "no-directory-sync", About: "no directory is synced to the disk", Scenario: "power-loss", Checkers: lost,
			patches: []patch{{"raftnode/internal/storage/dir.go", "	err = f.Sync()\n	return errors.Join", "	return errors.Join"}},
		},
	}
}
