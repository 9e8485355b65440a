package sysctl

import (
	"fmt"
	"strings"
)

// Path returns the path of a parameter below /proc/sys, with slashes. It fails
// for a name that has an empty part, "." or "..", or a byte that no name has.
func Path(name string) (string, error) {
	path := name
	if !strings.Contains(name, "/") {
		path = strings.ReplaceAll(name, ".", "/")
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("parameter name %q has the part %q", name, part)
		}
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c == 0x7f {
			return "", fmt.Errorf("parameter name %q has the byte %q", name, c)
		}
	}
	return path, nil
}

// CheckValue reports a value that is not one line: nothing would be set, or
// something else.
func CheckValue(value string) error {
	if strings.TrimSpace(value) == "" {
		return fmt.Errorf("value %q is empty", value)
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("value %q has the byte %q", value, c)
		}
	}
	return nil
}
