//go:build !unix

package spool

import "strings"

// lockHeld tells a lock that somebody holds from one that cannot be made.
func lockHeld(err error) bool {
	text := err.Error()
	return strings.Contains(text, "lock held") || strings.Contains(text, "being used by another process") || strings.Contains(text, "already locked")
}
