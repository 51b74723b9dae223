//go:build unix

package spool

import (
	"errors"
	"strings"
	"syscall"
)

// lockHeld tells a lock that somebody holds from one that cannot be made. The
// lock itself answers EAGAIN, and vfs a text when this very process holds it.
func lockHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held") || strings.Contains(err.Error(), "already locked")
}
