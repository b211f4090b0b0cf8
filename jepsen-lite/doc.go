// Package jepsenlite is the fault tests of berth: clusters and members under partitions, pauses, crashes and slow disks,
// and checkers that judge what clients saw.
//
// README.md says how to run them, what each scenario does, and has the track record: every bug of berth itself that a test
// found, with the test that holds it down. It grows with the product and nothing is taken out of it.
//
// The packages below it, from the ground up:
//
//	switchnet   hosts: network namespaces joined by a switch that delays, loses and cuts
//	lossyfs     disks that lose power, with a real server on them
//	clockskew   processes whose clocks run wrong
//	procs       processes that are killed, stopped, started again, and never left behind
//	history     what a run saw, and rundir, the folder that it leaves
//	workload    what clients, members and holders of locks do
//	nemesis     which faults there are, from a seed, and how they are brought about
//	check       one checker for each promise; replay, the committed log; checktest, histories that are right
//	report      a run on one page; judge, all of that over the folder of a run, for berth check
//	runner      one run of one scenario, for berth fault run
//	mutants     berths with a fault in them, made with overlay, which the scenarios have to find
//	sim         whole clusters in virtual time
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
