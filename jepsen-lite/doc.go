// Package jepsenlite is the fault tests of berth: clusters and members under partitions, pauses, crashes and slow disks,
// and checkers that judge what clients saw.
//
// What is here so far is the track record (README.md): every bug of berth itself that a test found, with the test that
// holds it down. It grows with the product and nothing is taken out of it.
//
// Below it are lossyfs, disks that lose power, with a real server on them; clockskew, processes whose clocks run wrong; and
// overlay, builds with faults in them.
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
