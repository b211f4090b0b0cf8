package workload

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// contents is the SHA-256 of what a state says, in hex: that of two servers with the same log index is the same. Their files need not be, since
// each numbers slots and buckets for itself, and takes out of memory what means nothing any more when it likes.
//
// The results of requests are in there by the digest alone, which was computed anew from them when the file was read.
func contents(v *snapshot.View) string {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, v.Index, v.Term, v.Time, v.Barrier, v.OldestRemoval(), v.ForgottenIndex(), v.Cluster, v.Digest())
	for k := range v.Kinds() {
		_, _ = fmt.Fprintf(h, "kind %q %+v\n", k, v.KindSettings(k))
	}
	list(h, "server", v.Servers(), nil)
	list(h, "session", v.Sessions(0), nil)
	for l := range v.Locks("") {
		_, _ = fmt.Fprintf(h, "lock %q %v\n", l.Name, l.Use)
		for c, held := range l.Claims() {
			_, _ = fmt.Fprintf(h, "claim %+v %v\n", c, held)
		}
	}
	list(h, "block", v.Blocks(), nil)
	list(h, "move", v.Moves(), nil)
	list(h, "crash", v.Crashes(), nil)
	list(h, "member", func(yield func(member) bool) {
		for m, load := range v.Members() {
			stands := v.Roster.Find(m.ID)
			if !yield(member{*m, load, stands != nil && stands.Incarnation == m.Incarnation}) {
				return
			}
		}
	}, func(a, b member) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	list(h, "placement", func(yield func(placed) bool) {
		for p := range v.Placements() {
			if !yield(placed{p.Identity, p.Entry}) {
				return
			}
		}
	}, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.identity.Kind, b.identity.Kind), cmp.Compare(a.identity.Key, b.identity.Key))
	})
	return hex.EncodeToString(h.Sum(nil))
}

// member is a member with what it owns, and whether it stands for its name.
type member struct {
	placement.Member
	load   snapshot.Load
	stands bool
}

// placed is an identity that is not absent.
type placed struct {
	identity placement.Identity
	entry    placement.Entry
}

// list writes values in their order, or in the given one.
func list[T any](w io.Writer, what string, values iter.Seq[T], order func(a, b T) int) {
	all := slices.Collect(values)
	if order != nil {
		slices.SortFunc(all, order)
	}
	for _, x := range all {
		_, _ = fmt.Fprintf(w, "%s %+v\n", what, x)
	}
}
