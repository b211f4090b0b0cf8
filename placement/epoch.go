package placement

import "fmt"

// An Epoch is a fencing token: strictly growing over the life of a cluster and never reused, also not after a
// disaster recovery that reuses log indexes. Zero is no epoch.
//
// From the high bits down it holds the recovery generation (16 bits), the log index of the command that made it,
// counted from the generation's base (36 bits), and the command's place within its log entry (12 bits). When a
// generation runs out of indexes the state machine begins the next one by itself.
type Epoch uint64

// Widths of the parts of an Epoch.
const (
	epochPlaceBits = 12
	epochIndexBits = 36

	// BatchCommandsMax is the number of commands that one log entry may hold: an epoch has room to tell
	// that many apart.
	BatchCommandsMax = 1 << epochPlaceBits
	// GenerationIndexes is the number of log indexes that one recovery generation can tell apart.
	GenerationIndexes = uint64(1) << epochIndexBits
)

// MakeEpoch puts an epoch together. It panics when offset or place is out of range: the state machine keeps them
// in range, and an epoch that wraps would be a fencing token that shrinks.
func MakeEpoch(generation uint16, offset uint64, place int) Epoch {
	if offset >= GenerationIndexes || place < 0 || place >= BatchCommandsMax {
		panic(fmt.Sprintf("placement: epoch offset %d, place %d out of range", offset, place))
	}
	return Epoch(uint64(generation)<<(epochIndexBits+epochPlaceBits) | offset<<epochPlaceBits | uint64(place))
}

// Generation is the recovery generation in which the epoch was made.
func (e Epoch) Generation() uint16 { return uint16(e >> (epochIndexBits + epochPlaceBits)) }

// Offset is the log index that made the epoch, counted from the base of its generation (zero for the first).
func (e Epoch) Offset() uint64 { return uint64(e) >> epochPlaceBits & (GenerationIndexes - 1) }

// Place is the position, within its log entry, of the command that made the epoch.
func (e Epoch) Place() int { return int(e & (BatchCommandsMax - 1)) }
