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
	"sync"
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
	ControllerProbes                 string // address, HTTP
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
func (c *Cluster) StartOperator(
	ctx context.Context,
	binary string,
	say func(format string, args ...any),
	redirects ...string,
) (_ *Operator, failed error) {
	p := c.ports
	op := &Operator{
		URL:               "https://" + p.server,
		PagesURL:          "https://" + localhost(p.server),
		CAFile:            c.cert.CAFile,
		ControllerMetrics: p.controllerMetrics,
		ControllerProbes:  p.probes,
		ServerMetrics:     p.serverMetrics,
		ExtAuthz:          p.extAuthz,
	}
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
	if op.Issuer, err = issuer.Start(
		context.WithoutCancel(ctx),
		c.cert.CertFile,
		c.cert.KeyFile,
		redirects...); err != nil {
		return nil, err
	}
	if err := op.TrustAgain(); err != nil {
		return nil, err
	}
	if err := c.installWebhooks(ctx, p.admission); err != nil {
		return nil, err
	}
	if op.Controller, err = c.startProcess(
		ctx,
		binary,
		"controller",
		"controller",
		say,
		fmt.Sprintf(
			"probes: %s\nmetrics: %s\nleaderElection: {enabled: false}\n"+
				"admission: {listen: %q, host: localhost, namespace: %s}\n",
			p.probes,
			p.controllerMetrics,
			p.admission,
			systemNamespace,
		),
	); err != nil {
		return nil, err
	}
	config := c.serverConfig(op.Issuer.URL, "")
	if op.Server, err = c.startProcess(ctx, binary, "server", "server", say, config); err != nil {
		return nil, err
	}
	if err := op.waitReady(ctx, op.Server.failed); err != nil {
		return nil, err
	}
	return op, c.trustWebhook(ctx, binary)
}

// trustWebhook does what the Job of the chart does, for which there is no node.
func (c *Cluster) trustWebhook(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, binary, "trust-webhook", "--kubeconfig", c.Kubeconfig, "--namespace", systemNamespace)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("trust the admission webhook: %w: %s", err, out)
	}
	return nil
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
	return fmt.Sprintf(
		`listen: %s
metrics: %s
extAuthz: %s
tls: {certFile: %q, keyFile: %q}
trustedProxies: [127.0.0.1/32]
activity: {database: %q}
pages: {url: "https://%s", clientID: %s, clientSecretFile: %q, sessionKeyFile: %q}
jwt:
- issuer: {url: %q, audiences: [%q], certificateAuthorityFile: %q}
%s`,
		c.ports.server,
		c.ports.serverMetrics,
		c.ports.extAuthz,
		c.cert.CertFile,
		c.cert.KeyFile,
		filepath.Join(c.options.State, "activity.db"),
		localhost(
			c.ports.server,
		),
		issuer.ClientID,
		filepath.Join(c.options.State, clientSecretFile),
		filepath.Join(c.options.State, sessionKeyFile),
		issuerURL,
		issuer.Audience,
		c.cert.CAFile,
		more,
	)
}

// RestartServer starts the server again with more configuration.
func (c *Cluster) RestartServer(ctx context.Context, op *Operator, more string) error {
	if err := os.WriteFile(
		filepath.Join(c.options.State, "server.yaml"),
		[]byte(c.serverConfig(op.Issuer.URL, more)),
		0o600,
	); err != nil {
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
	if err := wait(
		ctx,
		op.Controller,
		func() bool { return answersOK(ctx, op.Client, "http://"+c.ports.probes+"/readyz") },
		failed,
	); err != nil {
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
	if err := os.WriteFile(
		file,
		service.ReplaceAll(text, []byte("url: https://localhost:"+port+"$1")),
		0o600,
	); err != nil {
		return fmt.Errorf("write webhooks: %w", err)
	}
	_, err = c.Kubectl(ctx, "apply", "--server-side", "-f", file)
	return err
}

// startProcess starts one subcommand with its configuration, as its own ServiceAccount, under a name.
func (c *Cluster) startProcess(
	ctx context.Context,
	binary, subcommand, name string,
	say func(string, ...any),
	config string,
) (*Process, error) {
	kubeconfig, err := c.AccountKubeconfig(ctx, systemNamespace, "apikey-operator-"+subcommand)
	if err != nil {
		return nil, err
	}
	return c.startAs(kubeconfig, binary, subcommand, name, say, config) //nolint:contextcheck // outlives the context
}

func (c *Cluster) startAs(
	kubeconfig, binary, subcommand, name string,
	say func(string, ...any),
	config string,
) (*Process, error) {
	file := filepath.Join(c.options.State, name+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	p := &Process{
		Name:    name,
		LogFile: filepath.Join(c.options.State, "log", name+".log"),
		say:     say,
		done:    make(chan struct{}),
		command: []string{binary, subcommand, "--config", file, "--kubeconfig", kubeconfig},
	}
	if err := p.launch(); err != nil {
		return nil, err
	}
	go p.keep()
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
