package storage

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"sync"

	"go.etcd.io/bbolt"
)

// VoteStore is Raft's stable store: the current term, and the vote. It implements raft.StableStore on a bbolt file of
// its own, so that a vote never waits behind an append to the log. All of it is one record with a checksum: a server
// that reads another term or vote than it wrote would vote twice.
//
// Raft writes a vote as two keys, the term and then the candidate. A crash between the two leaves a term that was voted
// in with the candidate of another, and the server would grant that candidate a second time without looking at its log
// (hashicorp/raft#661). Here the term is held back until the candidate comes, and both are one transaction.
type VoteStore struct {
	db    *bbolt.DB
	guard *Guard

	mu      sync.Mutex
	state   map[string][]byte // what is on the disk
	pending []byte            // a vote's term that waits for its candidate
}

const (
	voteBucket = "vote"
	voteRecord = "state"
	voteTerm   = "LastVoteTerm"
	voteCand   = "LastVoteCand"
)

// errNotFound has the text that Raft compares with.
var errNotFound = errors.New("not found")

func openVoteStore(path string, guard *Guard) (*VoteStore, error) {
	db, err := openBolt(path, voteBucket, func() (*bbolt.DB, error) { return bbolt.Open(path, 0o600, boltOptions()) })
	if err != nil {
		return nil, err
	}
	s := &VoteStore{db: db, guard: guard}
	if err := guard.mapped(s.load); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// load reads the record. A file without a bucket was made just now, and is given one.
func (s *VoteStore) load() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(voteBucket))
		if b == nil {
			b, err := tx.CreateBucket([]byte(voteBucket))
			if err != nil {
				return err
			}
			s.state = map[string][]byte{}
			return putVote(b, s.state)
		}
		record := b.Get([]byte(voteRecord))
		n := len(record) - crcBytes
		if n < 0 || binary.LittleEndian.Uint32(record[n:]) != crc32.Checksum(record[:n], castagnoli) {
			return &CorruptError{Path: s.db.Path(), What: "the checksum of the vote is wrong"}
		}
		if err := json.Unmarshal(record[:n], &s.state); err != nil {
			return &CorruptError{Path: s.db.Path(), What: "the vote cannot be read", Err: err}
		}
		return nil
	})
}

func putVote(b *bbolt.Bucket, state map[string][]byte) error {
	record, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return b.Put([]byte(voteRecord), binary.LittleEndian.AppendUint32(record, crc32.Checksum(record, castagnoli)))
}

// Set stores a key. A vote's candidate is stored together with the term that came before it.
func (s *VoteStore) Set(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.state)
	next[string(key)] = append([]byte{}, value...)
	if string(key) == voteCand && s.pending != nil {
		next[voteTerm] = s.pending
	}
	err := s.guard.write("write vote", func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return putVote(tx.Bucket([]byte(voteBucket)), next) })
	})
	if err != nil {
		return err
	}
	if s.state = next; string(key) == voteCand {
		s.pending = nil
	}
	return nil
}

// SetUint64 stores a number. The term of a vote is not stored before its candidate is.
func (s *VoteStore) SetUint64(key []byte, value uint64) error {
	b := binary.BigEndian.AppendUint64(nil, value)
	if string(key) == voteTerm {
		s.mu.Lock()
		s.pending = b
		s.mu.Unlock()
		return nil
	}
	return s.Set(key, b)
}

// Get returns a key's value; the error's text is "not found" when it has none.
func (s *VoteStore) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.state[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return append([]byte{}, v...), nil
}

// GetUint64 returns a number; the error's text is "not found" when the key has none.
func (s *VoteStore) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("%s: %s has %d bytes, and is no number", s.db.Path(), key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// Close closes the file.
func (s *VoteStore) Close() error { return s.guard.close(s.db.Close) }
