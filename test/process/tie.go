// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// Start starts a command in a process group of its own, so that Ctrl-C does not reach it. On Linux it is sent the
// signal when this process ends, however that happens.
func Start(cmd *exec.Cmd, atOurEnd syscall.Signal) (err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	tie(cmd.SysProcAttr, atOurEnd)
	Lasting(func() { err = cmd.Start() })
	return err
}

// Lasting runs a function on a thread that ends with this process and not before. Linux takes the end of the thread
// that started a child for the end of its parent.
func Lasting(do func()) {
	done := make(chan struct{})
	lasting() <- func() {
		defer close(done)
		do()
	}
	<-done
}

var lasting = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread() // for good
		for do := range work {
			do()
		}
	}()
	return work
})
