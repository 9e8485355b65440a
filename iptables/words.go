package iptables

import (
	"errors"
	"strings"
)

// word is one argument of a rule.
type word struct {
	text   string
	quoted bool
}

// errQuote is a quotation mark that is never closed.
var errQuote = errors.New("quotation mark is not closed")

// words splits a rule as iptables-restore does: blanks separate, quotation
// marks join, a backslash between them takes the next byte as it is.
func (r Rule) words() ([]word, error) {
	var list []word
	var b strings.Builder
	const (
		between = iota
		bare
		quoted
		escaped
	)
	state := between
	flush := func(quoted bool) {
		list = append(list, word{b.String(), quoted})
		b.Reset()
		state = between
	}
	for i := range len(r) {
		c := r[i]
		switch {
		case state == escaped:
			b.WriteByte(c)
			state = quoted
		case state == quoted && c == '\\':
			state = escaped
		case state == quoted && c == '"':
			flush(true)
		case state == quoted:
			b.WriteByte(c)
		case c == '"':
			state = quoted
		case c == ' ' || c == '\t':
			if state == bare {
				flush(false)
			}
		default:
			b.WriteByte(c)
			state = bare
		}
	}
	switch state {
	case bare:
		flush(false)
	case quoted, escaped:
		return nil, errQuote
	}
	return list, nil
}

// bare returns a word without quotation marks, if it is read back as the same one.
func bare(text string) word {
	return word{text: text, quoted: text == "!" || strings.HasPrefix(text, "-")}
}

// option reports whether the word can begin an option.
func (w word) option() bool {
	return !w.quoted && len(w.text) > 1 && w.text[0] == '-'
}

// String returns the word as it is read back: in quotation marks if it came in
// some or needs them.
func (w word) String() string {
	if !w.quoted && w.text != "" && !strings.ContainsAny(w.text, "\"\\ \t") {
		return w.text
	}
	return quote(w.text)
}

// quote writes a string as the tool does (libxtables, xtables_save_string).
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if strings.IndexByte(`"\'`, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// plain reports whether the tool prints s without quotation marks where it
// prints strings that users chose.
func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != ""
}
