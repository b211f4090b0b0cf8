package snapshot

import (
	"math/bits"
	"strings"
	"unsafe"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/placement"
)

// KindNumber stands for a kind in the index. Numbers are given in the order in which kinds become known and are
// replicated.
type KindNumber uint16

// key is an identity as the index stores it: the kind as its number, and a key that is a UUID in canonical lower-case
// form as its 16 bytes.
type key struct {
	uuid   uuid   // when packed
	text   string // otherwise; the index keeps a copy
	kind   KindNumber
	packed bool
}

// set makes k the key of an identity, packed when it can be, and returns its hash.
func (k *key) set(kind KindNumber, text string, seed uint64) (hash uint64) {
	if len(text) == uuidTextBytes {
		if u, hash, ok := hashUUID(unsafe.StringData(text), packedSeed(seed, kind)); ok {
			k.kind, k.text, k.uuid, k.packed = kind, "", u, true
			return hash
		}
	}
	k.kind, k.text = kind, text
	if k.uuid, k.packed = packUUID(text); k.packed {
		k.text = ""
	}
	return k.hash(seed)
}

// original is the key of the identity, unpacked.
func (k *key) original() string {
	if !k.packed {
		return k.text
	}
	return unpackUUID(k.uuid)
}

// hash spreads keys over the buckets of an index with the given seed.
func (k *key) hash(seed uint64) uint64 {
	if k.packed {
		return k.uuid.hash(packedSeed(seed, k.kind))
	}
	return xxh3.HashStringSeed(k.text, kindSeed(seed, k.kind))
}

func kindSeed(seed uint64, kind KindNumber) uint64 { return seed ^ uint64(kind)*0x9e3779b97f4a7c15 }

func packedSeed(seed uint64, kind KindNumber) uint64 {
	return bits.RotateLeft64(kindSeed(seed, kind), 32) + 1
}

// size is the room that a record with the key takes in a page.
func (k *key) size() int {
	if k.packed {
		return packedRecordBytes
	}
	return recordHeaderBytes + len(k.text)
}

// identity gives the stored key its names back.
func (v *View) identity(k key) placement.Identity {
	text := k.original()
	if !k.packed {
		text = strings.Clone(text) // whoever keeps the identity shall not keep the page
	}
	return placement.Identity{Kind: v.kindName(k.kind), Key: text}
}
