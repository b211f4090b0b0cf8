package lookuptest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// Open is Start for what is no test, an example for instance. Close ends the cluster. What would end a test makes Open fail, and other
// methods panic.
func Open(config Config) (c *Cluster, err error) {
	s := &standalone{}
	defer func() {
		if why := recover(); why != nil {
			f, ok := why.(failure)
			if !ok {
				panic(why)
			}
			c, err = nil, errors.Join(f, s.end())
		}
	}()
	return Start(s, config), nil
}

// Close ends a cluster that Open started.
func (c *Cluster) Close() error {
	if s, ok := c.t.(*standalone); ok {
		return s.end()
	}
	c.close()
	return nil
}

// failure is what would end a test.
type failure string

func (f failure) Error() string { return string(f) }

// standalone takes the place of a test.
type standalone struct {
	testing.TB
	cleanups []func()
	dirs     []string
	errs     []error
}

func (s *standalone) Helper() {}

func (s *standalone) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *standalone) TempDir() string {
	dir, err := os.MkdirTemp("", "lookuptest-")
	if err != nil {
		panic(failure(err.Error()))
	}
	s.dirs = append(s.dirs, dir)
	return dir
}

func (s *standalone) Fatal(args ...any)                 { panic(failure(fmt.Sprint(args...))) }
func (s *standalone) Fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }
func (s *standalone) Errorf(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// end is what ends a test.
func (s *standalone) end() error {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
	s.cleanups = nil
	for _, dir := range s.dirs {
		s.errs = append(s.errs, os.RemoveAll(dir))
	}
	return errors.Join(s.errs...)
}
