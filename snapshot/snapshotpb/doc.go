// Package snapshotpb is the small records of a snapshot file, generated from snapshot.proto: [Header], [Kinds], [Servers],
// [Slots] and [Results], one message a frame. FORMAT.md in package snapshot says where they stand; the placements, which are
// many, are written by hand. Fields are added and never renumbered.
package snapshotpb
