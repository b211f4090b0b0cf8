package switchnet

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// memoryPort is a port in memory: what the host sends and what it got.
type memoryPort struct {
	sent   chan []byte
	got    chan []byte
	closed chan struct{}
}

func newMemoryPort() *memoryPort {
	return &memoryPort{make(chan []byte, 100), make(chan []byte, 100), make(chan struct{})}
}

func (p *memoryPort) Read(b []byte) (int, error) {
	select {
	case data := <-p.sent:
		return copy(b, data), nil
	case <-p.closed:
		return 0, io.EOF
	}
}

func (p *memoryPort) Write(b []byte) (int, error) {
	p.got <- append([]byte(nil), b...)
	return len(b), nil
}

func (p *memoryPort) Close() error {
	close(p.closed)
	return nil
}

// ethernet is a frame for a host.
func ethernet(to [6]byte, payload string) []byte {
	return append(append(append([]byte{}, to[:]...), make([]byte, 8)...), payload...)
}

// withFabric runs a test on three ports in virtual time.
func withFabric(t *testing.T, do func(f *fabric, p []*memoryPort)) {
	synctest.Test(t, func(t *testing.T) {
		p := []*memoryPort{newMemoryPort(), newMemoryPort(), newMemoryPort()}
		f := newFabric([]io.ReadWriteCloser{p[0], p[1], p[2]}, 1)
		do(f, p)
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestFabric_Frames_GoToWhomTheyAreFor(t *testing.T) {
	withFabric(t, func(f *fabric, p []*memoryPort) {
		p[0].sent <- ethernet(hardware(1), "a")
		p[0].sent <- ethernet(hardware(2), "b")
		p[0].sent <- ethernet(hardware(0), "to itself")
		p[0].sent <- ethernet(hardware(3), "to nobody")
		p[0].sent <- ethernet([6]byte{255, 255, 255, 255, 255, 255}, "to all")
		p[0].sent <- []byte("short")
		synctest.Wait()
		if len(p[0].got) != 0 || len(p[1].got) != 1 || len(p[2].got) != 1 {
			t.Fatalf("the ports got %d, %d and %d frames, want 0, 1 and 1", len(p[0].got), len(p[1].got), len(p[2].got))
		}
		if got := <-p[2].got; string(got[14:]) != "b" {
			t.Errorf("got %q", got)
		}
	})
}

func TestFabric_Change_IsOfOneDirection(t *testing.T) {
	withFabric(t, func(f *fabric, p []*memoryPort) {
		f.change(func(from, to int, l *Link) { l.Cut = from == 0 && to == 1 })
		p[0].sent <- ethernet(hardware(1), "cut")
		p[1].sent <- ethernet(hardware(0), "back")
		p[0].sent <- ethernet(hardware(2), "beside")
		synctest.Wait()
		if len(p[1].got) != 0 || len(p[0].got) != 1 || len(p[2].got) != 1 {
			t.Fatalf("the ports got %d, %d and %d frames, want 1, 0 and 1", len(p[0].got), len(p[1].got), len(p[2].got))
		}
		f.change(func(_, _ int, l *Link) { l.Cut = false })
		p[0].sent <- ethernet(hardware(1), "healed")
		synctest.Wait()
		if len(p[1].got) != 1 {
			t.Error("nothing came after the cut was healed")
		}
		if c := f.counts(); c.Carried != 3 || c.Dropped != 1 {
			t.Errorf("counts are %+v", c)
		}
	})
}

func TestFabric_Delay_IsKept(t *testing.T) {
	withFabric(t, func(f *fabric, p []*memoryPort) {
		f.change(func(from, _ int, l *Link) { l.Delay = time.Duration(from+1) * 100 * time.Millisecond })
		p[1].sent <- ethernet(hardware(2), "second")
		p[0].sent <- ethernet(hardware(2), "first")
		begin := time.Now()
		for i, want := range []string{"first", "second"} {
			got := <-p[2].got
			if took := time.Since(begin); string(got[14:]) != want || took != time.Duration(i+1)*100*time.Millisecond {
				t.Errorf("got %q after %v", got[14:], took)
			}
		}
	})
}

func TestFabric_Full_FramesAreLost(t *testing.T) {
	withFabric(t, func(f *fabric, p []*memoryPort) {
		f.change(func(_, _ int, l *Link) { l.Delay = time.Second })
		for range flightMax + 10 {
			f.forward(0, 1, ethernet(hardware(1), "x"))
		}
		if c := f.counts(); c.Dropped != 10 {
			t.Errorf("%d frames were lost, want 10", c.Dropped)
		}
	})
}
