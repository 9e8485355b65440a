package ipset

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Apply implements [Client].
func (c *Conn) Apply(ctx context.Context, changes []Change) []error {
	if len(changes) == 0 {
		return nil
	}
	w := writer{conn: c, ctx: ctx, changes: changes, batch: c.batch()}
	defer c.requests.Put(w.batch)
	proto, err := c.negotiate(ctx)
	if err != nil {
		w.failAll(err)
		return w.errs
	}
	w.proto = proto
	for i := 0; i < len(changes); {
		i = w.add(i)
		if w.batch.Size() > nl.SendSize-maxBulk {
			w.flush() // a buffer of one send's size stays in the processor's cache
		}
	}
	w.flush()
	return w.errs
}

// span is the changes that one message carries: one, or a run of entries.
type span struct{ first, last int } // changes[first:last]

// writer carries out one Apply. It gathers messages and sends them together,
// as long as no message depends on a bulk before it: a bulk stops at its first
// failing entry, and the rest has to be sent again before anything that may
// build on it.
type writer struct {
	conn    *Conn
	ctx     context.Context
	proto   uint8
	changes []Change
	errs    []error

	batch  *nl.Batch
	layout layout // of entries of key
	key    typeKey
	spans  []span   // of each message in batch
	bulks  []string // names of sets with a bulk in batch
	again  []span   // what bulks left undone
}

func (w *writer) fail(i int, err error) {
	if w.errs == nil {
		w.errs = make([]error, len(w.changes))
	}
	w.errs[i] = err
}

func (w *writer) failed(i int) bool { return w.errs != nil && w.errs[i] != nil }

func (w *writer) failAll(err error) {
	for i, c := range w.changes {
		w.fail(i, rejected(c, err))
	}
}

// rejected returns the error of a change that was not tried, for err.
func rejected(c Change, err error) error {
	kind := err
	var op *vipkit.OpError
	if errors.As(err, &op) {
		return &vipkit.OpError{Op: "ipset " + c.Op.String(), Object: c.object(), Kind: op.Kind, Err: op.Err, Detail: op.Detail}
	}
	if errno := errnoOf(err); errno != 0 {
		return failure(c, errno, "")
	}
	return kindError(c, kind, nil)
}

// add appends the message that starts with change i, and returns the index of
// the first change that it does not carry.
func (w *writer) add(i int) int {
	c := &w.changes[i]
	if err := c.Validate(); err != nil {
		w.fail(i, kindError(*c, fs.ErrInvalid, err))
		return i + 1
	}
	if w.dependent(c) {
		w.flush()
	}
	if c.Op >= AddEntry {
		return w.addEntries(i)
	}
	switch c.Op {
	case CreateSet:
		revision, err := w.conn.revision(w.ctx, w.proto, c.Set)
		if err != nil {
			w.fail(i, rejected(*c, err))
			return i + 1
		}
		appendCreate(w.batch, w.proto, revision, c.Set)
	case DestroySet:
		appendSetCommand(w.batch, cmdDestroy, w.proto, c.Set.Name, "")
	case FlushSet:
		appendSetCommand(w.batch, cmdFlush, w.proto, c.Set.Name, "")
	case SwapSets:
		appendSetCommand(w.batch, cmdSwap, w.proto, c.Set.Name, c.Other)
	case RenameSet:
		appendSetCommand(w.batch, cmdRename, w.proto, c.Set.Name, c.Other)
	case AddEntry, UpdateEntry, DeleteEntry: // addEntries had them
	}
	w.spans = append(w.spans, span{i, i + 1})
	return i + 1
}

// dependent reports whether a bulk in the batch is about a set of c.
func (w *writer) dependent(c *Change) bool {
	for _, name := range w.bulks {
		if name == c.Set.Name || name == c.Other {
			return true
		}
	}
	return false
}

// addEntries appends one message with entry i and those after it that go with
// it: same operation, same set.
func (w *writer) addEntries(i int) int {
	first, c := i, &w.changes[i]
	if i+1 == len(w.changes) || !sameRun(c, &w.changes[i+1]) {
		w.addEntry(i)
		return i + 1
	}
	cmd, flags := entryCommand(c.Op)
	begin(w.batch, cmd, flags, w.proto, c.Set.Name)
	w.batch.U32(attrLineno, 0)
	adt := w.batch.Nest(attrADT)
	l := w.layoutOf(c.Set)
	for ; i < len(w.changes) && sameRun(c, &w.changes[i]) && w.batch.MessageLen() < maxBulk; i++ {
		next := &w.changes[i]
		if !l.append(w.batch, next, uint32(i+1)) {
			w.fail(i, kindError(*next, fs.ErrInvalid, next.Validate()))
		}
	}
	w.batch.EndNest(adt)
	w.batch.End()
	w.spans = append(w.spans, span{first, i})
	w.bulks = append(w.bulks, c.Set.Name)
	return i
}

func sameRun(a, b *Change) bool {
	return a.Op == b.Op && a.Set.Name == b.Set.Name && a.Set.Type == b.Set.Type && a.Set.Family == b.Set.Family
}

// layoutOf returns how the entries of a set are laid out.
func (w *writer) layoutOf(s Set) *layout {
	if key := (typeKey{s.Type, s.Family}); key != w.key {
		w.layout.init(s.Type, s.Family)
		w.key = key
	}
	return &w.layout
}

// addEntry appends a message with entry i alone.
func (w *writer) addEntry(i int) {
	c := &w.changes[i]
	cmd, flags := entryCommand(c.Op)
	begin(w.batch, cmd, flags, w.proto, c.Set.Name)
	w.layoutOf(c.Set).append(w.batch, c, 0)
	w.batch.End()
	w.spans = append(w.spans, span{i, i + 1})
}

// flush sends the batch, and then, one message an entry, what its bulks left
// undone.
func (w *writer) flush() {
	w.send()
	for _, rest := range w.again {
		for i := rest.first; i < rest.last; i++ {
			if !w.failed(i) {
				w.addEntry(i)
			}
		}
	}
	w.again = w.again[:0]
	w.send()
}

func (w *writer) send() {
	if w.batch.Len() > 0 {
		var refused []nl.Failure
		err := w.conn.nl.Exec(w.ctx, w.batch, func(f nl.Failure) { refused = append(refused, f) })
		for _, f := range refused {
			w.refuse(f, err)
		}
	}
	w.batch.Reset()
	w.spans, w.bulks = w.spans[:0], w.bulks[:0]
}

// refuse records what the failure of one message means for its changes. err is
// why messages were not sent.
func (w *writer) refuse(f nl.Failure, err error) {
	s := w.spans[f.Index]
	switch {
	case f.Errno == syscall.ECANCELED && err != nil:
		w.refuseSpan(s, func(c Change) error { return rejected(c, err) })
	case f.Lost:
		w.refuseSpan(s, func(c Change) error { return kindError(c, vipkit.ErrReplyLost, nil) })
	default:
		line := int(failedLine(f.Reply))
		if line > s.first && line <= s.last {
			i := line - 1
			w.fail(i, failure(w.changes[i], f.Errno, f.Message))
			w.again = append(w.again, span{i + 1, s.last})
			return
		}
		w.refuseSpan(s, func(c Change) error { return failure(c, f.Errno, f.Message) })
	}
}

func (w *writer) refuseSpan(s span, err func(Change) error) {
	for i := s.first; i < s.last; i++ {
		if !w.failed(i) {
			w.fail(i, err(w.changes[i]))
		}
	}
}
