// Package nemesis decides which faults a run has, from a seed alone, and brings them about.
//
// Plan is pure: one menu, one seed and one duration give one list of steps. A step says what is done to whom in words that
// are the same in every run: "kill the leader". Begin finds out who that is at the moment, does it through a World, and
// returns what ends it; after the end of every step the world is whole again.
package nemesis
