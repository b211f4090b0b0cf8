package procs

import "os/exec"

// CombinedOutput runs a command, as its method does, and returns all that it says. On Linux the command ends with this process, however that
// does. Its SysProcAttr is set here.
func CombinedOutput(c *exec.Cmd) (out []byte, err error) {
	c.SysProcAttr = attributes()
	done := make(chan struct{})
	OnThread(func() { // the kernel has a child end with the thread that began it
		defer close(done)
		out, err = c.CombinedOutput()
	})
	<-done
	return out, err
}
