package contract

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/placement"
)

// What a Storage keeps are locks of the cluster, all of them held by the session of a spawn lock:
//
//	berth.storage/SPACE/spawn/KEY                     exclusive: the right to activate; given up when it was used
//	berth.storage/SPACE/stored/KEY/NONCE/MEMBER/REF   exclusive: what was stored; the oldest one of a KEY counts
//	berth.storage/SPACE/stored/KEY/NONCE              the same: the right was given up, and nothing can be stored
//	berth.storage/SPACE/member/MEMBER                 shared: what is stored of the member; exclusive: the member is barred
//
// KEY is a hash of the identity, since a name has room for an identity or for what is stored of it, and not for both.

// root is where the names of the space begin.
func (c *Config) root() string { return "berth.storage/" + c.Space + "/" }

// keyOf is the identity's name in those of locks.
func keyOf(id placement.Identity) string {
	sum := sha256.Sum256([]byte(id.String()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (c *Config) spawnName(key string) string { return c.root() + "spawn/" + key }

func (c *Config) storedPrefix(key string) string { return c.root() + "stored/" + key + "/" }

func (c *Config) memberName(m placement.MemberID) string { return c.root() + "member/" + string(m) }

// recordName is a name that nothing has had before. Without an activation it says that the right was given up.
func (c *Config) recordName(key string, a placement.StoredActivation) string {
	name := c.storedPrefix(key) + ulid.Make().String()
	if a == (placement.StoredActivation{}) {
		return name
	}
	return name + "/" + string(a.Member) + "/" + a.Ref
}

// activationOf reads the end of a name that recordName made. It is the zero value when the right was given up.
func activationOf(rest string) placement.StoredActivation {
	_, rest, _ = strings.Cut(rest, "/")
	member, ref, _ := strings.Cut(rest, "/")
	return placement.StoredActivation{Member: placement.MemberID(member), Ref: ref}
}

// claim names a spawn lock in the cluster: a session, and the token of its claim.
type claim struct{ session, token uint64 }

// ID is the text of a claim that callers hold.
func (c claim) ID() string {
	return strconv.FormatUint(c.session, 36) + "." + strconv.FormatUint(c.token, 36)
}

// claimOf reads what ID made. ok is false for every other text.
func claimOf(id string) (c claim, ok bool) {
	session, token, _ := strings.Cut(id, ".")
	c.session, _ = strconv.ParseUint(session, 36, 64)
	c.token, _ = strconv.ParseUint(token, 36, 64)
	return c, c.session != 0 && c.token != 0 && c.ID() == id
}

// The holders of sessions, for people who look at locks, and for finding the identity of a claim.
const (
	holderStore   = "storage "
	holderWaits   = "storage waits "
	holderBarring = "storage bars "
)
