package freeport

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestTake_TakenPort_IsNamed(t *testing.T) {
	p, err := Take(3)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	for _, host := range []string{loopback, claims} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, p.First+1))
		if err != nil {
			t.Fatal(err)
		}
		again := &Ports{First: p.First, Count: 3}
		if err := again.take(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d is taken", p.First+1)) {
			t.Errorf("somebody listens on %s: %v", host, err)
		}
		again.Close()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Nobody listens on a port that was taken, and yet nobody else gets it, until it is given back; a server can have it.
func TestTake_Twice_NobodyElseGetsIt(t *testing.T) {
	p, err := Take(2)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	server, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, p.First))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	other := &Ports{First: p.First + 1, Count: 1}
	if err := other.take(); err == nil {
		t.Errorf("port %d has two owners", other.First)
	}
	other.Close()
	p.Close()
	other = &Ports{First: p.First + 1, Count: 1}
	if err := other.take(); err != nil {
		t.Errorf("it was given back: %v", err)
	}
	other.Close()
}

func TestAddress_OfATest_IsFreeForAServer(t *testing.T) {
	l, err := net.Listen("tcp", Address(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}
