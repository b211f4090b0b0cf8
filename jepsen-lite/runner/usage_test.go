package runner

import (
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

func TestReadUsage_Metrics_AreNamedAndThere(t *testing.T) {
	const both = "# TYPE go_goroutines gauge\ngo_goroutines 97\ngo_goroutines_more 5\nprocess_open_fds 31\nprocess_max_fds 1.048576e+06\n"
	u, err := readUsage(strings.NewReader(both))
	if err != nil || *u != (history.Usage{Goroutines: 97, Descriptors: 31}) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, missing := range []string{"go_goroutines 97\n", "process_open_fds 31\n", "", "go_goroutines x\nprocess_open_fds 31\n", "go_goroutines 0\nprocess_open_fds 31\n"} {
		if u, err := readUsage(strings.NewReader(missing)); err == nil {
			t.Errorf("%q: %+v", missing, u)
		}
	}
}
