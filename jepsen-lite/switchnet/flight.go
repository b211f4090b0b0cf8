package switchnet

import (
	"container/heap"
	"time"
)

// frame is one that is on its way.
type frame struct {
	at   time.Time
	seq  uint64 // of two that arrive at one moment the first one sent is the first
	to   int
	data []byte
}

// flight is the frames on their way, the next to arrive first.
type flight []frame

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	if f[i].at.Equal(f[j].at) {
		return f[i].seq < f[j].seq
	}
	return f[i].at.Before(f[j].at)
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }

// Push is for package heap.
func (f *flight) Push(x any) { *f = append(*f, x.(frame)) }

// Pop is for package heap.
func (f *flight) Pop() any {
	old := *f
	x := old[len(old)-1]
	old[len(old)-1] = frame{}
	*f = old[:len(old)-1]
	return x
}

// due takes the frames out that arrive by now, in their order.
func (f *flight) due(now time.Time) []frame {
	var list []frame
	for len(*f) > 0 && !(*f)[0].at.After(now) {
		list = append(list, heap.Pop(f).(frame))
	}
	return list
}
