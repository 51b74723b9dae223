// Package e2e tests the roentgen binary as a process of its own, through its
// doors alone.
package e2e
