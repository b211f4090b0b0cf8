package lookupclient_test

import (
	"os"
	"testing"

	"github.com/seed13d31b7f/berth/internal/scratch"
)

// TestMain makes this binary a member in a process of its own when a test, which stops and kills it, has started it as one. Servers keep their
// files in memory where that can be.
func TestMain(m *testing.M) {
	if given := os.Getenv(probeEnv); given != "" {
		os.Exit(probeProcess(given))
	}
	os.Exit(scratch.Tests(m))
}
