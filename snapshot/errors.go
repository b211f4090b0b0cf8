package snapshot

import "fmt"

// CorruptError says that bytes are not a snapshot, or not the one that was written. Nothing was made of them.
type CorruptError struct {
	// Offset is where in the file the frame begins that is bad, in bytes from the start.
	Offset int64
	// What is wrong with it, a clause.
	What string
	// Err is the cause, when there is one: an error of the reader or of the decompressor.
	Err error
}

// Error names the offset and what is wrong.
func (e *CorruptError) Error() string {
	s := fmt.Sprintf("snapshot is corrupt at byte %d: %s", e.Offset, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// NewerFormatError says that a snapshot was written by a newer version, in a format that this one does not know, or with
// something in it that this one cannot follow. Nothing was made of it: what would be left out would be missed.
type NewerFormatError struct {
	// Format is the file's, Known the newest that can be read.
	Format, Known uint16
	// What is in it that is not known, when it is not the format.
	What string
}

// Error names both formats, or what is not known.
func (e *NewerFormatError) Error() string {
	if e.What != "" {
		return "snapshot is of a newer version: it has " + e.What + ", which this version does not know"
	}
	return fmt.Sprintf("snapshot has format %d, this version reads up to %d", e.Format, e.Known)
}
