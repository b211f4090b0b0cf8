package runner

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// damage flips some bits of one file below a directory, or cuts the file off, and says what it did. Where is drawn among all
// bytes, so large files are hit more often.
func damage(dir string, rng *rand.Rand) (string, error) {
	type file struct {
		path string
		size int64
	}
	var files []file
	var total int64
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > 0 {
			files = append(files, file{path, info.Size()})
			total += info.Size()
		}
		return err
	})
	if err != nil || total == 0 {
		return "nothing: it has no files", err
	}
	at := rng.Int64N(total)
	f := files[0]
	for _, f = range files {
		if at < f.size {
			break
		}
		at -= f.size
	}
	short, err := filepath.Rel(dir, f.path)
	if err != nil {
		return "", err
	}
	if rng.IntN(3) == 0 {
		return fmt.Sprintf("%s cut off after %d of %d bytes", short, at, f.size), os.Truncate(f.path, at)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return "", err
	}
	b[at] ^= 1 << rng.IntN(8)
	return fmt.Sprintf("%s: a bit of byte %d of %d flipped", short, at, f.size), os.WriteFile(f.path, b, 0o600)
}
