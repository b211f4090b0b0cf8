package lookupclient

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// What is learned is bounded, without what was given and what leads nowhere, and as of the newest index.
func TestFollowed_Take_NewestAndFew(t *testing.T) {
	told := 0
	f := newFollowed(Config{Servers: []string{"s1:7420"}})
	f.tell = func() { told++ }
	f.take(nil)
	f.take(&apiv1.Servers{Index: 9})
	f.take(&apiv1.Servers{Index: 7, Addresses: []string{"s1:7420", "s2:7420", "s2:7420", ":7420", "0.0.0.0:7420", "[::]:7420", "s3", "s3:", ""}})
	if got := f.others(); !slices.Equal(got, []string{"s2:7420"}) || told != 1 {
		t.Errorf("learned %v, told %d times", got, told)
	}
	f.take(&apiv1.Servers{Index: 6, Addresses: []string{"old:7420"}})
	f.take(&apiv1.Servers{Index: 8, Addresses: []string{"s2:7420"}})
	if got := f.others(); !slices.Equal(got, []string{"s2:7420"}) || told != 1 {
		t.Errorf("learned %v, told %d times", got, told)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("t%d:7420", i))
	}
	f.take(&apiv1.Servers{Index: 9, Addresses: many})
	if got := f.all(); len(got) != 1+learnedMax || told != 2 {
		t.Errorf("knows %v, told %d times", got, told)
	}
	if f.leave("s1:7420") || !f.leave("t3:7420") || f.leave("s2:7420") || len(f.others()) != learnedMax-1 {
		t.Errorf("knows %v", f.others())
	}
	f.take(&apiv1.Servers{Index: 10, Addresses: []string{"t3:7420"}})
	if got := f.others(); len(got) != 0 {
		t.Errorf("%v is of another cluster still", got)
	}
	f.take(&apiv1.Servers{Index: 11, Addresses: []string{"t4:7420"}})
	f.take(&apiv1.Servers{Index: 12, Addresses: []string{"t3:7420"}})
	if got := f.others(); !slices.Equal(got, []string{"t3:7420"}) {
		t.Errorf("learned %v, one that came back", got)
	}

	only := newFollowed(Config{Servers: []string{"s1:7420"}, ServersOnly: true})
	only.take(&apiv1.Servers{Index: 7, Addresses: []string{"s2:7420"}})
	if got := only.all(); len(got) != 1 {
		t.Errorf("learned %v, which is not wanted", got)
	}
}
