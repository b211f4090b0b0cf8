// Package check judges what clients, members and resources saw during a run: one checker for each promise, each of which
// depends on the history alone and says true, false or unknown.
//
//	run          the run came to its end, and the test itself had no error
//	processes    no process crashed, and nothing was left behind
//	order        the answers about an identity have an order that agrees with time: by the epochs that they carry
//	linearizable the same by values alone, found by porcupine, which trusts no index and no epoch's order
//	owner        no two members believed to own an identity at one moment
//	fence        a resource accepted no write under an older token than before, and no token is of two holders
//	lock         no two holders of a lock that exclude each other at one moment, and the answers about it have an order
//	durable      what was acknowledged is there at the end, on every server, unless something ended it
//	replicas     servers have one digest at one index, and one computed anew is the one that was carried
//	export       a saved state is as new as what was acknowledged before, and the same everywhere at one index
//	restore      a new cluster made of a saved state has what that has, and its epochs are larger than all before
//	terms        no term has two leaders
//	watch        streams are filtered, ordered, unique, atomic, bookmarkable, resumable and reliable
//	blocks       who is on the block list is given nothing, and no retry is held back but by it
//	log          every answer is what the committed log says at its index, when that was copied
//	requests     a request was carried out once at most, and never when it was refused; nothing was placed that nobody asked for
//	progress     after everything healed, everything worked again within the bound
//
// Unknown is no pass: a search that was broken off proves nothing, and neither does a checker that had nothing to look at
// although the run's workload is about it. A checker that had nothing to look at, and that nobody asked for, is idle.
//
// What a checker finds it shows by the fewest operations that it can: the window of a result.
//
// There are no waivers. A run that breaks a promise on purpose says so in its first line, and is wrong when it passes.
package check
