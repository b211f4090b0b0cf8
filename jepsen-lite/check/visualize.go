package check

import (
	"io"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// visualizeWithin bounds the search that is drawn.
const visualizeWithin = 10 * time.Second

// Visualize draws, as a page of porcupine, the search for an order of the operations about an identity, or about a lock ("lock
// NAME"), as small as a violation of it can be made. It reports false, and writes nothing, when there is an order.
func Visualize(h *history.History, subject string, w io.Writer) (bool, error) {
	p, ok := partitionOf(h, subject)
	if !ok || porcupine.CheckOperationsTimeout(p.Model, p.Ops, visualizeWithin) != porcupine.Illegal {
		return false, nil
	}
	p.Ops = shrink(p, time.Now().Add(visualizeWithin))
	clients := map[string]int{}
	for i := range p.Ops {
		x := &p.Ops[i]
		name := ""
		if op := opOf(x.Input); op != nil {
			name = op.Client
		}
		if _, seen := clients[name]; !seen {
			clients[name] = len(clients)
		}
		x.ClientId = clients[name]
		x.Return = min(x.Return, h.Last+1) // never cannot be drawn
	}
	_, info := porcupine.CheckOperationsVerbose(p.Model, p.Ops, visualizeWithin)
	return true, porcupine.Visualize(p.Model, info, w)
}

// partitionOf makes the operations about one thing.
func partitionOf(h *history.History, subject string) (Partition, bool) {
	if name, ok := strings.CutPrefix(subject, "lock "); ok {
		var list []*history.Op
		permits := 0
		for i := range h.Ops {
			if op := &h.Ops[i]; op.Lock == name {
				list = append(list, op)
				permits = max(permits, int(op.Permits))
			}
		}
		return lockPartition(name, list, permits, causes(h)), len(list) > 0
	}
	_, by := byIdentity(h)
	list := by[subject]
	return identityPartition(subject, list, causes(h), func(*epochSeen) {}), len(list) > 0
}
