package check

import (
	"cmp"
	"slices"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// newest finds, for a moment, the operation with the largest index that was answered before it.
type newest struct{ list []*history.Op }

func (n *newest) add(op *history.Op) { n.list = append(n.list, op) }

// seal puts the operations in the order of their answers, and keeps those whose index is larger than all before.
func (n *newest) seal() {
	slices.SortStableFunc(n.list, func(a, b *history.Op) int { return cmp.Compare(a.End, b.End) })
	kept := n.list[:0]
	for _, op := range n.list {
		if len(kept) == 0 || op.Answer.Read.Index > kept[len(kept)-1].Answer.Read.Index {
			kept = append(kept, op)
		}
	}
	n.list = kept
}

// before is the operation, nil for none.
func (n *newest) before(moment int64) *history.Op {
	i, _ := slices.BinarySearchFunc(n.list, moment, func(op *history.Op, moment int64) int { return cmp.Compare(op.End, moment) })
	if i == 0 {
		return nil
	}
	return n.list[i-1]
}
