//go:build !linux

package cli

func releaseCode() {}
