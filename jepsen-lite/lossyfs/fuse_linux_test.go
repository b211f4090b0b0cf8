package lossyfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// role has this test's program be another process: the server of a file system, or one that starts one.
const role = "LOSSYFS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "server":
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "starter":
		d, err := Start(server())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(d.PID())
		select {}
	default:
		os.Exit(m.Run())
	}
}

func server() []string { return []string{"env", role + "=server", os.Args[0]} }

// start starts a file system for the test.
func start(t *testing.T) *Disk {
	t.Helper()
	d, err := Start(server())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// save writes a file and syncs it, if it is to.
func save(t *testing.T, path, contents string, sync bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	must(t, err)
	_, err = f.WriteString(contents)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

func TestDisk_PowerLoss_ProcessesSeeWhatWasSynced(t *testing.T) {
	d := start(t)
	in := func(name string) string { return filepath.Join(d.Dir(), name) }
	must(t, os.Mkdir(in("dir"), 0o700))
	save(t, in("dir/kept"), "one", true)
	save(t, in("dir/kept"), "another", false)
	save(t, in("dir/lost"), "one", false)
	for round := range 3 {
		must(t, d.PowerLoss(PowerLoss{}))
		if b, err := os.ReadFile(in("dir/kept")); round == 0 && string(b) != "one" || err != nil {
			t.Errorf("round %d: %q, %v", round, b, err)
		}
		if _, err := os.Stat(in("dir/lost")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("round %d: what was not synced: %v", round, err)
		}
		save(t, in("dir/kept"), fmt.Sprint("round ", round), true)
		if b, err := os.ReadFile(in("dir/kept")); string(b) != fmt.Sprint("round ", round) || err != nil {
			t.Errorf("round %d: %q, %v", round, b, err)
		}
		save(t, in("dir/lost"), "again", false)
		save(t, in("new"), "x", false)
		must(t, os.Rename(in("new"), in("renamed")))
		if list, err := os.ReadDir(d.Dir()); err != nil || len(list) != 2 || list[0].Name() != "dir" || list[1].Name() != "renamed" {
			t.Errorf("round %d: %v, %v", round, list, err)
		}
	}
	s, err := d.Stats()
	if err != nil || s.PowerLosses != 3 || s.Syncs < 4 || s.LostSectors == 0 || s.LostChanges == 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

func TestDisk_Faults_ProcessesSeeThem(t *testing.T) {
	d := start(t)
	path := filepath.Join(d.Dir(), "f")
	save(t, path, "x", true)
	for _, tt := range []struct {
		faults Faults
		do     func(*os.File) error
		want   error
	}{
		{Faults{Write: syscall.EIO}, func(f *os.File) error { _, err := f.WriteString("y"); return err }, syscall.EIO},
		{Faults{Write: syscall.ENOSPC}, func(f *os.File) error { _, err := f.WriteString("y"); return err }, syscall.ENOSPC},
		{Faults{Capacity: 100}, func(f *os.File) error { return f.Truncate(1000) }, syscall.ENOSPC},
		{Faults{Read: syscall.EIO}, func(f *os.File) error { _, err := f.Read(make([]byte, 1)); return err }, syscall.EIO},
		{Faults{Sync: syscall.EIO}, (*os.File).Sync, syscall.EIO},
		{Faults{Sync: syscall.EIO, Files: "g"}, (*os.File).Sync, nil},
	} {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		must(t, d.SetFaults(tt.faults))
		if err := tt.do(f); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.faults, err, tt.want)
		}
		must(t, d.SetFaults(Faults{}))
		must(t, f.Close())
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	must(t, d.SetFaults(Faults{SyncDelay: 200 * time.Millisecond}))
	begin := time.Now()
	must(t, f.Sync())
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("a sync that takes 200 ms took %v", took)
	}
	must(t, f.Close())
}

// A power loss is not carried out while a process goes on that uses the files.
func TestDisk_PowerLoss_FileIsOpen_IsRefused(t *testing.T) {
	d := start(t)
	f, err := os.Create(filepath.Join(d.Dir(), "f"))
	must(t, err)
	if err := d.PowerLoss(PowerLoss{}); err == nil || !strings.Contains(err.Error(), "1 files are open") {
		t.Errorf("power loss: %v", err)
	}
	must(t, f.Close())
	must(t, d.PowerLoss(PowerLoss{}))
}

// gone waits until there is no process of that number, and checks that nobody here sees its file system.
func gone(t *testing.T, pid int) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) { // nobody has waited for it yet
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("process %d goes on", pid)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if bytes.Contains(mounts, []byte("lossyfs")) {
		t.Errorf("it is mounted:\n%s", mounts)
	}
}

func TestDisk_ServerIsKilled_NothingIsLeft(t *testing.T) {
	d, err := Start(server())
	must(t, err)
	f, err := os.Create(filepath.Join(d.Dir(), "f"))
	must(t, err)
	must(t, syscall.Kill(d.PID(), syscall.SIGKILL))
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := f.WriteString("x"); err == nil {
		t.Error("a write went well when the file system was gone")
	}
	_ = f.Close()
	gone(t, d.PID())
	if _, err := os.Stat(d.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if err := d.PowerLoss(PowerLoss{}); err == nil {
		t.Error("a power loss of what is gone went well")
	}
}

func TestDisk_StarterIsKilled_NothingIsLeft(t *testing.T) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), role+"=starter")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	var pid int
	_, err = fmt.Sscan(line, &pid)
	must(t, err)
	must(t, c.Process.Kill())
	_ = c.Wait()
	gone(t, pid)
}

// Who may not mount, or has nothing to mount with, is told so.
func TestStart_NotAllowed_SaysWhy(t *testing.T) {
	// Without the right to administer the system, as nobody has it but root.
	_, err := Start(append([]string{"setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"}, server()...))
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "permitted") {
		t.Errorf("without rights: %v", err)
	}
	_, err = Start([]string{"unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh", "env", role + "=server", os.Args[0]})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "/dev/fuse") {
		t.Errorf("without FUSE: %v", err)
	}
	if _, err := Start([]string{"/nowhere"}); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("without a program: %v", err)
	}
}
