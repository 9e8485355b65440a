package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// document is one of the documents of a stream, before it is parsed.
type document struct {
	text []byte
	// line is where text begins in the stream, from 1.
	line int
	// explicit is a document that a "---" began, which counts even if it is
	// empty.
	explicit bool
}

// documents cuts a stream at its document markers. YAML allows none at the
// beginning of a line but the real ones, not even in a block of text, so that a
// document that is no YAML does not hide the others.
func documents(stream []byte) []document {
	stream = bytes.TrimPrefix(stream, []byte("\ufeff"))
	var docs []document
	current := document{line: 1}
	start, line := 0, 0
	next := func(end int, following document) {
		current.text = stream[start:end]
		if current.explicit || !blank(current.text) {
			docs = append(docs, current)
		}
		current = following
	}
	for at := 0; at < len(stream); {
		end := len(stream)
		if i := bytes.IndexByte(stream[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line++
		switch {
		case isMarker(stream[at:end], "---"):
			next(at, document{line: line, explicit: true})
			start = at + len("---")
		case isMarker(stream[at:end], "..."):
			next(at, document{line: line})
			start = at + len("...")
		}
		at = end
	}
	next(len(stream), document{})
	return docs
}

// isMarker reports whether a line begins with the marker as a word.
func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// blank reports whether text holds nothing but space, comments and directives
// ("%YAML 1.2"), which come before a marker.
func blank(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// values returns the document's content as JSON: one value, or several where
// JSON values follow each other without markers. What was read before an error
// is returned beside it.
func (d document) values() ([]json.RawMessage, error) {
	text := bytes.TrimSpace(d.text)
	if len(text) > 0 && text[0] == '{' {
		values, err := d.jsonValues()
		if err == nil || len(values) > 0 {
			return values, err
		}
		// {a: 1} is YAML.
	}
	value, err := yaml.YAMLToJSONStrict(d.text)
	if err != nil {
		return nil, d.yamlError(err)
	}
	return []json.RawMessage{value}, nil
}

// yamlError puts what the parser says, which may be a list, into one line, and
// says what it counted lines from.
func (d document) yamlError(err error) error {
	said := strings.Join(strings.Fields(err.Error()), " ")
	if d.line > 1 {
		said += fmt.Sprintf(" (line 1 is line %d of the input)", d.line)
	}
	return errors.New(said)
}

func (d document) jsonValues() ([]json.RawMessage, error) {
	var values []json.RawMessage
	for dec := json.NewDecoder(bytes.NewReader(d.text)); ; {
		var v json.RawMessage
		switch err := dec.Decode(&v); {
		case errors.Is(err, io.EOF):
			return values, nil
		case err != nil:
			at := d.line + bytes.Count(d.text[:dec.InputOffset()], []byte("\n"))
			return values, fmt.Errorf("json: after line %d: %w", at, err)
		}
		values = append(values, v)
	}
}
