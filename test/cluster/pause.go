// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Pause stops a program of the control plane where it is, as SIGSTOP does, until release is called.
func (c *Cluster) Pause(program string) (release func(), err error) {
	pid, err := c.pidOf(program)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", program, err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("pause %s: %w", program, err)
	}
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }, nil
}

// pidOf returns the process id of a program of this cluster, which envtest keeps to itself.
func (c *Cluster) pidOf(program string) (int, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range lines {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		name, args, _ := strings.Cut(string(line), "\x00")
		if filepath.Base(name) == program && strings.Contains(args, c.options.State) {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, errors.New("there is none of this cluster")
}
