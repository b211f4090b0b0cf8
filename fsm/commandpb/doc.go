// Package commandpb is what the log of a cluster holds, generated from command.proto. Package fsm reads and writes the same
// bytes by hand; its tests compare the two, and tools may read a log with this package. An [Entry] is a batch of commands for
// one term, or a Start alone. Fields are added and never renumbered.
package commandpb
