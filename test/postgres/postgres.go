// SPDX-License-Identifier: Apache-2.0

// Package postgres is a real PostgreSQL server for tests: Debian's, in a temporary folder, on a port of
// this machine, never as root. hack/deps installs it.
package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/test/process"
)

const (
	account = "postgres" // whom the server runs as when the tests run as root
	patient = 30 * time.Second
)

// Server is a running server.
type Server struct {
	port    string
	command func(name string, args ...string) *exec.Cmd
	made    int // databases
}

// Start starts a server that ends with the test. Under -short it skips the test.
func Start(t *testing.T) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(programs) == 0 {
		t.Fatal("PostgreSQL is not installed: run hack/deps")
	}
	bin := programs[len(programs)-1]
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := credential(t, dir)
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), filepath.Join(bin, name), args...) // ended below
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
		cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + dir}
		return cmd
	}
	if out, err := command(
		"initdb",
		"-D",
		data,
		"-U",
		account,
		"--auth=trust",
		"--no-sync",
	).CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	address, err := process.Address()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	server := command(
		"postgres",
		"-D",
		data,
		"-p",
		port,
		"-c",
		"listen_addresses=127.0.0.1",
		"-c",
		"unix_socket_directories=",
		"-c",
		"fsync=off",
	)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	server.Stdout, server.Stderr = log, log
	if err := process.Start(server, syscall.SIGQUIT); err != nil { // which is PostgreSQL's immediate shutdown
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = server.Wait()
		_ = log.Close()
	})
	s := &Server{port: port, command: command}
	s.await(t, log.Name())
	return s
}

// Database returns the URL of a new, empty database.
func (s *Server) Database(t *testing.T) string {
	t.Helper()
	s.made++
	name := fmt.Sprint("test", s.made)
	if out, err := s.command(
		"createdb",
		"-h",
		"127.0.0.1",
		"-p",
		s.port,
		"-U",
		account,
		name,
	).CombinedOutput(); err != nil {
		t.Fatalf("createdb: %v: %s", err, out)
	}
	return fmt.Sprintf("postgres://%s@127.0.0.1:%s/%s?sslmode=disable", account, s.port, name)
}

// credential returns whom the server is to run as: it refuses to be root.
func credential(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(account)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids are small
}

// await waits until the server takes connections.
func (s *Server) await(t *testing.T, log string) {
	t.Helper()
	ready := func() bool {
		return s.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", s.port).Run() == nil
	}
	for begin := time.Now(); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > patient {
			text, _ := os.ReadFile(log)
			t.Fatalf("PostgreSQL does not answer: %s", text)
		}
	}
}
