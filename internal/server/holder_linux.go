package server

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holderOf returns who has a local port, such as "process 4711 (xray)", as far
// as this process may see it; "" when it may not.
func holderOf(network string, port uint16) string {
	inodes := make(map[string]bool)
	name := strings.ToLower(network)
	for _, table := range []string{"/proc/net/" + name, "/proc/net/" + name + "6"} {
		if data, err := os.ReadFile(table); err == nil {
			socketsOn(data, port, name == "tcp", inodes)
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		inode, ok := strings.CutPrefix(target, "socket:[")
		if err != nil || !ok || !inodes[strings.TrimSuffix(inode, "]")] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		comm, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "process " + pid
		}
		return fmt.Sprintf("process %s (%s)", pid, strings.TrimSpace(string(comm)))
	}
	return ""
}

// socketsOn adds the inodes of sockets bound to port to inodes. The table's
// second column is the local address in hexadecimal, the fourth the state (0A:
// listening), the tenth the inode.
func socketsOn(table []byte, port uint16, listening bool, inodes map[string]bool) {
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || listening && f[3] != "0A" {
			continue
		}
		_, hexPort, ok := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hexPort, 16, 16); ok && err == nil && uint16(n) == port && f[9] != "0" {
			inodes[f[9]] = true
		}
	}
}
