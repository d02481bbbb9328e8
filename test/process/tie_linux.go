// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

func tie(attributes *syscall.SysProcAttr, signal syscall.Signal) { attributes.Pdeathsig = signal }

// Tied returns the path of a script in the folder that becomes the program and ends, by SIGKILL, with the process that
// runs it. It is for programs that a library starts; that must happen in Lasting.
func Tied(folder, program string) (string, error) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return "", fmt.Errorf("setpriv is missing, which is part of util-linux: %w", err)
	}
	file := filepath.Join(folder, filepath.Base(program))
	text := fmt.Sprintf("#!/bin/sh\nexec %s --pdeathsig KILL %s \"$@\"\n", quote(setpriv), quote(program))
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil { //nolint:gosec // it is to be executed
		return "", fmt.Errorf("write a script for %s: %w", program, err)
	}
	return file, nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
