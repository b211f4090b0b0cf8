package storage

import (
	"encoding/binary"
	"errors"
	"sync"

	"go.etcd.io/bbolt"
)

// VoteStore is Raft's stable store: the current term, and the vote. It implements raft.StableStore on a bbolt file of
// its own, so that a vote never waits behind an append to the log.
//
// Raft writes a vote as two keys, the term and then the candidate. A crash between the two leaves a term that was voted
// in with the candidate of another, and the server would grant that candidate a second time without looking at its log
// (hashicorp/raft#661). Here the term is held back until the candidate comes, and both are one transaction.
type VoteStore struct {
	db    *bbolt.DB
	guard *Guard

	mu      sync.Mutex
	pending []byte // a vote's term that waits for its candidate
}

var (
	voteBucket = []byte("vote")
	voteTerm   = "LastVoteTerm"
	voteCand   = "LastVoteCand"

	// errNotFound has the text that Raft compares with.
	errNotFound = errors.New("not found")
)

func openVoteStore(path string, guard *Guard) (*VoteStore, error) {
	db, err := openBolt(path, func() (*bbolt.DB, error) { return bbolt.Open(path, 0o600, boltOptions()) })
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(voteBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &VoteStore{db: db, guard: guard}, nil
}

// Set stores a key. A vote's candidate is stored together with the term that came before it.
func (s *VoteStore) Set(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guard.write("write vote", func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(voteBucket)
			if string(key) == voteCand && s.pending != nil {
				if err := b.Put([]byte(voteTerm), s.pending); err != nil {
					return err
				}
				s.pending = nil
			}
			return b.Put(key, value)
		})
	})
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
func (s *VoteStore) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(voteBucket).Get(key)
		if v == nil {
			return errNotFound
		}
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// GetUint64 returns a number; the error's text is "not found" when the key has none.
func (s *VoteStore) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, &CorruptError{Path: s.db.Path(), What: "a number has not 8 bytes"}
	}
	return binary.BigEndian.Uint64(b), nil
}

// Close closes the file.
func (s *VoteStore) Close() error { return s.db.Close() }
