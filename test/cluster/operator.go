// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kaana/apikey-operator/test/issuer"
)

const (
	systemNamespace = "apikey-system"
	grace           = 15 * time.Second // between asking a process to end and ending it
	restartPause    = 500 * time.Millisecond
)

// Operator is a running controller and server, each a process of its own with its own
// ServiceAccount. A process that dies is started again, as a kubelet would.
type Operator struct {
	URL      string // https, without a path
	PagesURL string // the same, as a browser is to open it
	CAFile   string
	Client   *http.Client // trusts CAFile

	ControllerMetrics, ServerMetrics string // addresses, HTTPS
	ExtAuthz                         string // address, gRPC with TLS

	Issuer *issuer.Issuer

	Controller, Server *Process
}

// Install applies the manifests that `make run` and the tests need: everything of config but the
// Deployments, for which there is no node.
func (c *Cluster) Install(ctx context.Context, root string) error {
	for _, dir := range []string{"config/crd", "config/rbac", "config/policy"} {
		if _, err := c.Kubectl(ctx, "apply", "--server-side", "-k", filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	_, err := c.Kubectl(ctx, "wait", "--for=condition=Established", "crd/apikeys.auth.kaana.com", "--timeout=60s")
	return err
}

// StartOperator starts the binary's two processes, and an issuer. say is told when a process is
// started again. redirects are where the issuer may send people back to.
func (c *Cluster) StartOperator(ctx context.Context, binary string, say func(format string, args ...any), redirects ...string) (_ *Operator, failed error) {
	p := c.ports
	op := &Operator{URL: "https://" + p.server, PagesURL: "https://" + localhost(p.server), CAFile: c.cert.CAFile, ControllerMetrics: p.controllerMetrics, ServerMetrics: p.serverMetrics, ExtAuthz: p.extAuthz}
	defer func() {
		if failed != nil {
			failed = errors.Join(failed, op.Stop())
		}
	}()
	if err := c.writePagesSecrets(); err != nil {
		return nil, err
	}
	redirects = append(redirects, "https://"+localhost(p.server)+"/login/callback", "https://"+localhost(p.server)+"/")
	var err error
	if op.Issuer, err = issuer.Start(context.WithoutCancel(ctx), p.issuer, c.cert.CertFile, c.cert.KeyFile, redirects...); err != nil {
		return nil, err
	}
	if err := op.TrustAgain(); err != nil {
		return nil, err
	}
	if err := c.installWebhooks(ctx, p.admission); err != nil {
		return nil, err
	}
	if op.Controller, err = c.startProcess(ctx, binary, "controller", say,
		fmt.Sprintf("probes: %s\nmetrics: %s\nleaderElection: {enabled: false}\nadmission: {listen: %q, host: localhost, namespace: %s}\n",
			p.probes, p.controllerMetrics, p.admission, systemNamespace)); err != nil {
		return nil, err
	}
	if op.Server, err = c.startProcess(ctx, binary, "server", say, c.serverConfig(op.Issuer.URL, "")); err != nil {
		return nil, err
	}
	return op, op.waitReady(ctx, op.Server.failed)
}

const (
	clientSecretFile = "client-secret"
	sessionKeyFile   = "session-key"
)

// writePagesSecrets writes what the server signs people in with.
func (c *Cluster) writePagesSecrets() error {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	for name, text := range map[string][]byte{clientSecretFile: []byte(issuer.ClientSecret), sessionKeyFile: key[:]} {
		if err := os.WriteFile(filepath.Join(c.options.State, name), text, 0o600); err != nil {
			return fmt.Errorf("write secrets: %w", err)
		}
	}
	return nil
}

// localhost names an address of this machine as a browser is to.
func localhost(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return "localhost:" + port
}

// serverConfig is the configuration of the server, with more at its end.
func (c *Cluster) serverConfig(issuerURL, more string) string {
	return fmt.Sprintf(`listen: %s
metrics: %s
extAuthz: %s
tls: {certFile: %q, keyFile: %q}
trustedProxies: [127.0.0.1/32]
activity: {database: %q}
pages: {url: "https://%s", clientID: %s, clientSecretFile: %q, sessionKeyFile: %q}
jwt:
- issuer: {url: %q, audiences: [%q], certificateAuthorityFile: %q}
%s`, c.ports.server, c.ports.serverMetrics, c.ports.extAuthz, c.cert.CertFile, c.cert.KeyFile, filepath.Join(c.options.State, "activity.db"),
		localhost(c.ports.server), issuer.ClientID, filepath.Join(c.options.State, clientSecretFile), filepath.Join(c.options.State, sessionKeyFile), issuerURL, issuer.Audience, c.cert.CAFile, more)
}

// RestartServer starts the server again with more configuration.
func (c *Cluster) RestartServer(ctx context.Context, op *Operator, more string) error {
	if err := os.WriteFile(filepath.Join(c.options.State, "server.yaml"), []byte(c.serverConfig(op.Issuer.URL, more)), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	op.Server.Kill() // and it is started again
	return op.waitReady(ctx, func() error { return nil })
}

// RestartOperator restarts both processes, from the binary as it is now, and waits until they are ready.
func (c *Cluster) RestartOperator(ctx context.Context, op *Operator) error {
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, p := range []*Process{op.Controller, op.Server} {
		wg.Go(func() { errs[i] = p.Restart(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	failed := func() error { return errors.Join(op.Controller.failed(), op.Server.failed()) }
	if err := wait(ctx, op.Controller, func() bool { return answersOK(ctx, op.Client, "http://"+c.ports.probes+"/readyz") }, failed); err != nil {
		return err
	}
	return op.waitReady(ctx, failed)
}

// installWebhooks installs config/webhook with the controller's address instead of its Service, for
// which there is no node.
func (c *Cluster) installWebhooks(ctx context.Context, address string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(root, "config", "webhook", "webhooks.yaml"))
	if err != nil {
		return fmt.Errorf("read webhooks: %w", err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("install webhooks: %w", err)
	}
	service := regexp.MustCompile(`service: \{.*path: (\S+)\}`)
	file := filepath.Join(c.options.State, "webhooks.yaml")
	if err := os.WriteFile(file, service.ReplaceAll(text, []byte("url: https://localhost:"+port+"$1")), 0o600); err != nil {
		return fmt.Errorf("write webhooks: %w", err)
	}
	_, err = c.Kubectl(ctx, "apply", "--server-side", "-f", file)
	return err
}

// startProcess starts one subcommand with its configuration, as its own ServiceAccount.
func (c *Cluster) startProcess(ctx context.Context, binary, name string, say func(string, ...any), config string) (*Process, error) {
	file := filepath.Join(c.options.State, name+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	kubeconfig, err := c.AccountKubeconfig(ctx, systemNamespace, "apikey-operator-"+name)
	if err != nil {
		return nil, err
	}
	p := &Process{Name: name, LogFile: filepath.Join(c.options.State, "log", name+".log"), say: say, done: make(chan struct{}),
		command: []string{binary, name, "--config", file, "--kubeconfig", kubeconfig}}
	if err := p.launch(); err != nil { //nolint:contextcheck // outlives the context, until stop
		return nil, err
	}
	go p.keep() //nolint:contextcheck // as above
	return p, nil
}

// waitReady waits until the server gives verdicts, or has failed.
func (op *Operator) waitReady(ctx context.Context, failed func() error) error {
	return wait(ctx, op.Server, func() bool { return answersOK(ctx, op.Client, op.URL+"/readyz") }, failed)
}

// wait waits until a process is ready, or has failed.
func wait(ctx context.Context, p *Process, ready func() bool, failed func() error) error {
	for {
		if ready() {
			return nil
		}
		if err := failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the %s: %w; see %s", p.Name, ctx.Err(), p.LogFile)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func answersOK(ctx context.Context, client *http.Client, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// TrustAgain makes Client trust what is in CAFile now.
func (op *Operator) TrustAgain() error {
	client, err := trusting(op.CAFile)
	op.Client = client
	return err
}

// Stop ends both processes.
func (op *Operator) Stop() error {
	for _, p := range []*Process{op.Server, op.Controller} {
		if p != nil {
			p.stop()
		}
	}
	if op.Issuer != nil {
		return op.Issuer.Stop()
	}
	return nil
}

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
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it through stop, in order
	if err := p.cmd.Start(); err != nil {
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

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func trusting(caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}, nil
}
