package pebblestore

// flush makes Pebble write out its memory.
func (s *Store) flush() error {
	r, err := s.read(nil)
	if err != nil {
		return err
	}
	defer r.release()
	r.inst.applyMu.Lock()
	defer r.inst.applyMu.Unlock()
	if err := r.inst.db.Flush(); err != nil {
		return r.inst.readError("flush", err)
	}
	return r.inst.err()
}
