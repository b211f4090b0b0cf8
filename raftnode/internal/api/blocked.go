package api

import (
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// whoBlocks says by whom, until when and why something is blocked, as the rest of a sentence, and puts it into the data of an error.
func whoBlocks(b *snapshot.Block, data map[string]string) (text string) {
	if b.By != "" {
		text += " by " + b.By
		data["by"] = b.By
	}
	if b.Until != 0 {
		data["until"] = timeOf(b.Until).Format(time.RFC3339)
		text += " until " + data["until"]
	}
	if b.Reason != "" {
		text += ": " + b.Reason
		data["because"] = b.Reason
	}
	return text
}

// memberBlocked says why a member may not join, or why nothing can be changed about one that has not ended yet.
func memberBlocked(v *snapshot.View, id placement.MemberID) error {
	data := map[string]string{"member": string(id)}
	b, ok := v.Block(snapshot.Subject{Member: id})
	if !ok { // its block is over, and the incarnation that was blocked is not
		return fail(apiv1.ReasonMemberBlocked, data, "the member %s was blocked", id)
	}
	return fail(apiv1.ReasonMemberBlocked, data, "the member %s is blocked%s", id, whoBlocks(&b, data))
}

// barred says whether a member is on the block list of a view and will still be there when an entry that is made now is carried
// out. A block whose time is over ends with the next entry: whoever is refused without one would wait for ever in a cluster in
// which nothing else happens.
func barred(v *snapshot.View, id placement.MemberID) bool {
	b, ok := v.Block(snapshot.Subject{Member: id})
	return ok && (b.Until == 0 || uint64(max(0, time.Now().UnixMilli())) < b.Until)
}
