// Package jepsenlite is the fault tests of berth: clusters and members under partitions, pauses, crashes and slow disks,
// and checkers that judge what clients saw.
//
// The track record (README.md) has every bug of berth itself that a test found, with the test that holds it down. It grows with
// the product and nothing is taken out of it.
//
// The packages below judge a run:
//
//	history     what a run saw, one event a line: the recorder, the reader
//	rundir      the folder that a run leaves
//	replay      the committed log, run through the state machine and a model again
//	check       one checker for each promise
//	checktest   histories that are right, to check the checkers
//	report      a run on one page
//	judge       all of that over a run's folder; `berth check`
//
// Below it are sim, whole clusters in virtual time; lossyfs, disks that lose power, with a real server on them; clockskew,
// processes whose clocks run wrong; and overlay, builds with faults in them.
//
// The other fault tests that exist stand beside the code that they are about, and run with go test in virtual time, on the
// network and disks of package raftnodetest:
//
//	raftnode/internal/group   the known faults of hashicorp/raft, failover, healing, disks that fail and stall
//	raftnode                  forming, moving, wiping, removing servers
//	lookupclient              members cut off, stopped and killed while everything is placed and removed
//	fsm, snapshot             one log gives one state, whatever restarts in between
//
// For a bug, add a row to the table with the test that found it, and name the test that fails when the fix is undone.
package jepsenlite
