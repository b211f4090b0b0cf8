// Package houserules holds, by its tests, what no compiler does: which package may import which, that the packages that
// replicas must agree by are pure, and that every package explains itself. It has no code.
//
// The house, from the ground up; a package imports what stands below it, and only what rules_test.go lists:
//
//	placement                  identities, members, epochs, transitions, strategies      pure
//	snapshot                   the published view, its editor, its file format           pure
//	fsm                        the replicated state machine                              pure
//	raftnode/lease             the arithmetic of leases                                  pure
//	raftnode/internal/…        disk, port, Raft, leader's work, API
//	raftnode                   one server                    lookupclient                one client or member
//	cmd/…                      what people type
//
// Pure means: no clock, no randomness, no network, no disk, no goroutine, no floating point; and in the state machine no
// order that depends on a map.
package houserules
