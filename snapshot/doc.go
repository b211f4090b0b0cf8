// Package snapshot is the published state of the cluster: an immutable View of every placement, member and lock as of one
// log index, the Editor that makes one view after the other, and the bytes of a view in a file.
//
// # Views
//
// One writer changes an Editor and publishes a View after each batch; any number of readers use published views without
// a lock. A view is a small struct: publishing one copies a few words, whatever its size, and shares with the view
// before it every page that did not change. So the snapshot that Raft asks for is a pointer, and writing it to disk
// runs beside new changes.
//
// A look-up hashes the key, finds one page and compares a byte a record, and allocates nothing; View.LookupBatch makes many
// look-ups wait for memory together. A change copies one page of about 256 bytes. The death of a member is one small
// change, whatever it owned. The placements are in memory without pointers, so the garbage collector does not look into
// them. A view may be held as long as one likes; it keeps the pages that newer views replaced.
//
//	e := snapshot.NewEditor(v)
//	e.SetPosition(index, term)
//	entry := e.Seek(id) // what everybody must see
//	e.Put(next)         // replaces what Seek found last
//	v = e.Publish()
//	entry, owner := v.Lookup(id)
//
// # What is stored and what is seen
//
// The index keeps records as they were written, and every read passes [placement.Entry.Seen], which knows what became
// of the owner and where the barrier stands. Records that mean nothing any more are taken out of memory later, in
// small steps (Editor.Collect). That work changes nothing that can be seen: two replicas may do it at different
// times and still have one digest.
//
// # Files
//
// View.Encode writes and Decode reads the format that FORMAT.md draws. Decode trusts nothing and proves what it read
// by the digest. DESIGN.md has the decisions, and the test of each promise.
//
// The package is pure: no clock, no goroutine, no I/O but the io.Reader and io.Writer that it is given, and no result
// that depends on the order of a map.
package snapshot
