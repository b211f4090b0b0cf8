package lossyfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// seclude has a process start in a mount namespace of its own: what it mounts is gone when it has ended.
func seclude(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true}
}

// mount shows the volume to other processes, and returns where. It must be called in a process that was secluded.
func mount(v *volume) (dir string, err error) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var zero time.Duration
	point := os.TempDir() // in this process's namespace alone
	_, err = fs.Mount(point, &node{v: v, f: v.root}, &fs.Options{
		// Nothing but pages of open files may be cached: a power loss changes all.
		EntryTimeout: &zero, AttrTimeout: &zero, NegativeTimeout: &zero, NullPermissions: true,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "lossyfs", Name: "lossyfs", MaxWrite: 1 << 20, AllowOther: true},
	})
	if err != nil {
		return "", fmt.Errorf("%w: mount: %w", ErrUnavailable, err)
	}
	return filepath.Join(fmt.Sprintf("/proc/%d/root", os.Getpid()), point), nil
}

// node is what the kernel knows a file by.
type node struct {
	fs.Inode
	v *volume
	f *file
}

// opened is an open file.
type opened struct{ v *volume }

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
	_ fs.FileReleaser  = (*opened)(nil)
)

func (n *node) attributes(f *file, a *fuse.Attr) {
	n.v.mu.Lock()
	defer n.v.mu.Unlock()
	a.Mode, a.Size, a.Blksize = f.mode, uint64(len(f.live)), 4096
	a.Blocks = (a.Size + 511) / 512
	a.SetTimes(&f.changed, &f.changed, &f.changed)
}

func (n *node) child(ctx context.Context, f *file, out *fuse.EntryOut) *fs.Inode {
	n.attributes(f, &out.Attr)
	return n.NewInode(ctx, &node{v: n.v, f: f}, fs.StableAttr{Mode: f.mode & syscall.S_IFMT, Ino: f.number + 1})
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	f, e := n.v.lookup(n.f, name)
	if e != 0 {
		return nil, e
	}
	return n.child(ctx, f, out), 0
}

func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	f, e := n.v.create(n.f, name, syscall.S_IFREG|mode&0o7777)
	if e != 0 {
		return nil, nil, 0, e
	}
	n.v.opened(1)
	return n.child(ctx, f, out), &opened{n.v}, 0, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	f, e := n.v.create(n.f, name, syscall.S_IFDIR|mode&0o7777)
	if e != 0 {
		return nil, e
	}
	return n.child(ctx, f, out), 0
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno { return n.v.remove(n.f, name) }
func (n *node) Rmdir(_ context.Context, name string) syscall.Errno  { return n.v.remove(n.f, name) }

func (n *node) Rename(_ context.Context, name string, dir fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	d, ok := dir.(*node)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	return n.v.rename(n.f, name, d.f, to)
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	var out []fuse.DirEntry
	for _, e := range n.v.list(n.f) {
		out = append(out, fuse.DirEntry{Name: e.name, Mode: e.file.mode, Ino: e.file.number + 1})
	}
	return fs.NewListDirStream(out), 0
}

// Open does not ask the kernel to keep pages that it has of the file: they may be from before a power loss. While the
// file is open they are kept, for mapped files need that.
func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.v.opened(1)
	return &opened{n.v}, 0, 0
}

func (o *opened) Release(context.Context) syscall.Errno {
	o.v.opened(-1)
	return 0
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.attributes(n.f, &out.Attr)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if size > CapacityDefault {
			return syscall.EFBIG
		}
		if e := n.v.resize(n.f, int64(size)); e != 0 {
			return e
		}
	}
	if mode, ok := in.GetMode(); ok {
		n.v.mu.Lock()
		n.f.mode = n.f.mode&syscall.S_IFMT | mode&0o7777
		n.v.mu.Unlock()
	}
	n.attributes(n.f, &out.Attr)
	return 0
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, b []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	k, e := n.v.read(n.f, b, at)
	if e != 0 {
		return nil, e
	}
	return fuse.ReadResultData(b[:k]), 0
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, b []byte, at int64) (uint32, syscall.Errno) {
	if at > CapacityDefault {
		return 0, syscall.EFBIG
	}
	if e := n.v.write(n.f, b, at); e != 0 {
		return 0, e
	}
	return uint32(len(b)), 0
}

func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return n.v.sync(n.f) }

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	n.v.mu.Lock()
	defer n.v.mu.Unlock()
	capacity := n.v.faults.Capacity
	if capacity == 0 {
		capacity = CapacityDefault
	}
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	out.Blocks = uint64(capacity) / 4096
	out.Bfree = uint64(max(capacity-n.v.stats.Bytes, 0)) / 4096
	out.Bavail = out.Bfree
	return 0
}
