// Command lossyfs is the process of a file system that loses power on demand. Package jepsen-lite/lossyfs starts it, in a
// mount namespace of its own, and tells it on its standard input what to do; it is of no use by itself.
package main

import (
	"fmt"
	"os"

	"github.com/seed13d31b7f/berth/jepsen-lite/lossyfs"
)

func main() {
	if err := lossyfs.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lossyfs:", err)
		os.Exit(1)
	}
}
