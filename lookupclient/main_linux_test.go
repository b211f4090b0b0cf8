package lookupclient_test

import (
	"os"
	"testing"
)

// TestMain makes this binary a member in a process of its own when a test, which stops and kills it, has started it as one.
func TestMain(m *testing.M) {
	if given := os.Getenv(probeEnv); given != "" {
		os.Exit(probeProcess(given))
	}
	os.Exit(m.Run())
}
