//go:build !unix

package pebblestore

import "strings"

// isLockHeld tells a lock that somebody holds from one that cannot be made.
func isLockHeld(err error) bool {
	text := err.Error()
	return strings.Contains(text, "lock held") || strings.Contains(text, "being used by another process") || strings.Contains(text, "already locked")
}
