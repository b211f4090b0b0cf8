// Package runner runs one scenario of faults against a cluster of real processes, and leaves a folder that says what was
// seen.
//
// A run has phases: the cluster starts and is loaded; faults come and go, as package nemesis has planned from the seed; they
// end, and everything must work again; everything is read once more, from each server; everything is taken down, and what
// is left behind is counted. Its history is one file, in the form of package history, on one clock.
//
// In tier 2 the processes share this machine's loopback interface. In tier 3 each has a host of its own, and the hosts are
// joined by a switch (package switchnet) whose links can be changed. The clients dial from a host, too. The questions that
// the test itself asks, who leads and what the digests are, are put to each server from its own host: no fault of the
// network reaches them.
//
// Goroutines: those of Run are its own, and have ended when it returns.
package runner
