package check

import (
	"fmt"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// checkFence looks at the writes that guarded resources accepted: the tokens must not go down. And it looks at all tokens that
// anybody was given: each is of one holder of one thing.
func checkFence(h *history.History, _ *Options, f *finding) {
	type accepted struct {
		at    int64
		write *history.Write
	}
	highest := map[string]accepted{}
	given := tokens{by: map[uint64]token{}, f: f}
	for i := range h.Writes {
		w := &h.Writes[i]
		f.looked++
		given.take(w.At, nil, w.V.Token, w.V.Resource, w.V.Writer)
		if !w.V.Accepted {
			continue
		}
		if before := highest[w.V.Resource]; before.write != nil && w.V.Token < before.write.Token {
			f.bad(w.V.Resource, before.at, w.At, nil, "a write of %s under token %d was accepted after one of %s under %d",
				w.V.Writer, w.V.Token, before.write.Writer, before.write.Token)
			continue
		}
		highest[w.V.Resource] = accepted{w.At, &w.V}
	}
	for i := range h.Holds {
		x := &h.Holds[i]
		f.looked++
		given.take(x.At, nil, x.V.Epoch, x.V.Identity+x.V.Lock, x.V.Member)
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OutcomeOK {
			continue
		}
		switch {
		case op.Answer.Phase == history.Settled:
			f.looked++
			given.take(op.End, op, op.Answer.Epoch, op.Identity, op.Answer.Member)
		case op.F == history.Acquire && op.Answer.Token != 0:
			f.looked++
			given.take(op.End, op, op.Answer.Token, op.Lock, op.Client)
		}
	}
}

// token is what a token was given for, and to whom.
type token struct {
	of, holder string
	at         int64
	op         *history.Op
}

// tokens are those that were seen.
type tokens struct {
	by map[uint64]token
	f  *finding
}

// take notes who has a token, and that nobody else has.
func (t *tokens) take(moment int64, op *history.Op, number uint64, of, holder string) {
	before, seen := t.by[number]
	if !seen {
		t.by[number] = token{of, holder, moment, op}
		return
	}
	if before.of == of && before.holder == holder {
		return
	}
	var both []uint64
	for _, x := range []*history.Op{before.op, op} {
		if x != nil {
			both = append(both, x.Op)
		}
	}
	whose := fmt.Sprintf("%s for %s", before.holder, before.of)
	t.f.bad(of, min(before.at, moment), max(before.at, moment), both, "epoch %d is that of %s, and of %s for %s", number, whose, holder, of)
}
