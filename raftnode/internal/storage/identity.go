package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"time"
)

const identityFormat = 1

// Identity is who a server is, kept on its disk. What it promised to others, it promised under this identity, so a
// disk without it is another server.
type Identity struct {
	// Format is the version of this record.
	Format int `json:"format"`
	// Server is the server's name.
	Server string `json:"server"`
	// Incarnation names this disk: it is made with the directory and never changes.
	Incarnation string `json:"incarnation"`
	// Cluster is the cluster that the server belongs to; empty until it has joined or formed one.
	Cluster string `json:"cluster,omitempty"`
	// Founders are the servers that formed the cluster, when this one was among them.
	Founders []Founder `json:"founders,omitempty"`
	// Stores says that the files of the log and of the vote were made: from then on they must be there.
	Stores bool `json:"stores,omitempty"`
	// FormerTTL is the longest lease of a member in the cluster that this one was restored from, until the server has
	// waited for all of them to be over; zero then, and for clusters that were not restored.
	FormerTTL time.Duration `json:"formerTTL,omitempty"`
	// Sum is CRC-32C of the record without it, in hexadecimal digits.
	Sum string `json:"sum,omitempty"`
}

// encode writes the record, with its checksum.
func (id Identity) encode() ([]byte, error) {
	id.Sum = ""
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return nil, err
	}
	id.Sum = fmt.Sprintf("%08x", crc32.Checksum(b, castagnoli))
	b, err = json.MarshalIndent(id, "", "  ")
	return append(b, '\n'), err
}

// Founder is one of the servers that formed a cluster.
type Founder struct {
	Server      string `json:"server"`
	Incarnation string `json:"incarnation"`
	// Address is where its Raft port was when the cluster was formed.
	Address string `json:"address"`
}

// LoadIdentity reads the identity; ok is false when the directory has none, which means that it is new. It fails with
// ErrIncomplete when the directory is not new although the identity is missing, and with ErrUnfinished when a restore has
// not filled it.
func (d *Dir) LoadIdentity() (id Identity, ok bool, err error) {
	for _, name := range []string{restoringFile, restoringFile + ".tmp"} { // also one that was ended while it said that it begins
		if n, err := d.size(name); err != nil || n >= 0 {
			return id, false, errors.Join(err, fmt.Errorf("%s: %w", d.path, ErrUnfinished))
		}
	}
	b, err := os.ReadFile(d.file(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		for _, name := range []string{logFile, voteFile} {
			if n, err := d.size(name); err != nil || n >= 0 {
				return id, false, errors.Join(err, fmt.Errorf("%s: %w: there is a %s, but no %s", d.path, ErrIncomplete, name, identityFile))
			}
		}
		return id, false, nil
	}
	if err != nil {
		return id, false, fmt.Errorf("read identity: %w", err)
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, false, &CorruptError{Path: d.file(identityFile), What: "it is not an identity", Err: err}
	}
	if id.Format != identityFormat {
		return id, false, fmt.Errorf("%s has format %d, this version knows %d", d.file(identityFile), id.Format, identityFormat)
	}
	if whole, err := id.encode(); err != nil || !bytes.Equal(whole, b) {
		return id, false, &CorruptError{Path: d.file(identityFile), What: "its checksum is wrong", Err: err}
	}
	if id.Server == "" || id.Incarnation == "" {
		return id, false, &CorruptError{Path: d.file(identityFile), What: "it names no server"}
	}
	return id, true, nil
}

// SaveIdentity makes the identity durable.
func (d *Dir) SaveIdentity(id Identity) error {
	id.Format = identityFormat
	b, err := id.encode()
	if err != nil {
		return err
	}
	return d.writeFile(identityFile, b)
}
