package runner

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// damage flips a bit of one file below a directory, or cuts the file off, and says what it did. The file is drawn first, however large
// it is, or no snapshot would ever be hit beside a log, and then the byte.
func damage(dir string, rng *rand.Rand) (string, error) {
	type file struct {
		path string
		size int64
	}
	var files []file
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > 0 {
			files = append(files, file{path, info.Size()})
		}
		return err
	})
	if err != nil || len(files) == 0 {
		return "nothing: it has no files", err
	}
	f := files[rng.IntN(len(files))]
	at := rng.Int64N(f.size)
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
