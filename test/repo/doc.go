// Package repo holds tests of the repository itself: which package may import
// which, that every package says what it is for, that nothing of one machine is
// in a tracked file, that the documents' links lead somewhere. They need git and
// the go command, and no network.
package repo
