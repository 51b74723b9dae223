//go:build unix

package pebblestore

import (
	"errors"
	"strings"
	"syscall"
)

// isLockHeld tells a lock that somebody holds from one that cannot be made. The
// lock itself answers EAGAIN, and vfs a text when this very process holds it.
func isLockHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held") || strings.Contains(err.Error(), "already locked")
}
