// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kaana/apikey-operator/test/process"
)

// Process is one process that is kept running.
type Process struct {
	Name, LogFile string

	command    []string
	say        func(string, ...any)
	mu         sync.Mutex
	cmd        *exec.Cmd
	ended      chan struct{} // the process that runs now has ended
	restarting bool          // Restart ended it
	done       chan struct{} // stop was called
}

func (p *Process) launch() error {
	out, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.CommandContext(context.Background(), p.command[0], p.command[1:]...) // ended by stop
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := process.Start(p.cmd, syscall.SIGKILL); err != nil { // Ctrl-C reaches it through stop, in order
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.ended, p.restarting = make(chan struct{}), false
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		_ = out.Close()
		close(ended)
	}(p.cmd, p.ended)
	return nil
}

// keep starts the process again when it ends by itself.
func (p *Process) keep() {
	for {
		select {
		case <-p.done:
			return
		case <-p.running():
		}
		p.mu.Lock()
		state, pause := p.cmd.ProcessState.String(), restartPause
		if p.restarting {
			pause = 0
		}
		p.mu.Unlock()
		select {
		case <-p.done:
			return
		case <-time.After(pause):
		}
		if pause > 0 {
			p.say("%s ended (%s); starting it again, see %s", p.Name, state, p.LogFile)
		}
		if err := p.launch(); err != nil {
			p.say("%v", err)
		}
	}
}

func (p *Process) running() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// PID returns the process's id.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Kill ends the process at once, as kill -9 does, and waits until it is gone. It is started again.
func (p *Process) Kill() {
	ended := p.running()
	_ = syscall.Kill(p.PID(), syscall.SIGKILL)
	<-ended
}

// Pause stops the process where it is, as SIGSTOP does, until release is called.
func (p *Process) Pause() (release func()) {
	pid := p.PID()
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
}

// failed returns why a process that never came up ended, from its last line.
func (p *Process) failed() error {
	select {
	case <-p.running():
	default:
		return nil
	}
	text, err := os.ReadFile(p.LogFile)
	if err != nil {
		return fmt.Errorf("read log of %s: %w", p.Name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s did not start: %s; see %s", p.Name, lines[len(lines)-1], p.LogFile)
}

// Restart ends the process as stop does and waits until keep has started it again.
func (p *Process) Restart(ctx context.Context) error {
	before := p.running()
	p.mu.Lock()
	p.restarting = true
	p.mu.Unlock()
	p.end()
	for p.running() == before {
		select {
		case <-ctx.Done():
			return fmt.Errorf("restart %s: %w", p.Name, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// stop ends the process for good.
func (p *Process) stop() {
	close(p.done)
	p.end()
}

// end asks the process to end, and ends it when it does not.
func (p *Process) end() {
	ended := p.running()
	_ = syscall.Kill(p.PID(), syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(grace):
		_ = syscall.Kill(p.PID(), syscall.SIGKILL)
		<-ended
	}
}
