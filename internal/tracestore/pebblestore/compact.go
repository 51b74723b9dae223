package pebblestore

import "context"

// Compact brings the views up to date and the folder to its final layout, as
// compactions in the background would in time. It is for measurements: serving
// never needs it.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.WaitRolled(ctx); err != nil {
		return err
	}
	r, err := s.read(nil)
	if err != nil {
		return err
	}
	defer r.release()
	if err := r.inst.db.Flush(); err != nil {
		return r.inst.readError("flush", err)
	}
	if err := r.inst.db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		return r.inst.readError("compact", err)
	}
	return nil
}
