package ports

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// socketsAt adds the inodes of the sockets that a table such as /proc/net/tcp has
// at a local port and without a peer. The kernel lets two have a port only where
// their addresses differ, so the first program found is the one, or near it.
func socketsAt(table string, port uint16, into map[string]bool) {
	for i, line := range strings.Split(table, "\n") {
		words := strings.Fields(line)
		if i == 0 || len(words) < 10 {
			continue
		}
		_, local, ok := strings.Cut(words[1], ":")
		n, err := strconv.ParseUint(local, 16, 16)
		_, peer, _ := strings.Cut(words[2], ":")
		if ok && err == nil && uint16(n) == port && peer == "0000" && words[9] != "0" {
			into["socket:["+words[9]+"]"] = true
		}
	}
}

// ownerOf names the first process found that has one of the sockets: "process
// 4711: nginx". It is empty where nobody may look.
func ownerOf(sockets map[string]bool) string {
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, path := range descriptors {
		target, err := os.Readlink(path)
		if err != nil || !sockets[target] {
			continue
		}
		process := filepath.Dir(filepath.Dir(path))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf("process %s: %s", filepath.Base(process), strings.TrimSpace(string(name)))
	}
	return ""
}
