package contract_test

import (
	"os"
	"testing"

	"github.com/seed13d31b7f/berth/internal/scratch"
)

// TestMain has servers keep their files in memory where that can be.
func TestMain(m *testing.M) { os.Exit(scratch.Tests(m)) }
