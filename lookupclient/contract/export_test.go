package contract

// Limit makes the storage keep no more than that.
func (s *Storage) Limit(most int) { s.most = most }
