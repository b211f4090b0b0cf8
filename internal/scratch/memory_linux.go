package scratch

import "golang.org/x/sys/unix"

// shared is where Linux has memory as a directory; without much of it in a container.
const shared = "/dev/shm"

// InMemory is a directory in memory with roomMin bytes free, for files that need not outlast a power loss; empty when there is none.
func InMemory() string {
	var fs unix.Statfs_t
	if err := unix.Statfs(shared, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC || fs.Bavail*uint64(fs.Bsize) < roomMin || unix.Access(shared, unix.W_OK) != nil {
		return ""
	}
	return shared
}
