// SPDX-License-Identifier: Apache-2.0

// Package cluster starts a real Kubernetes control plane on this machine, for tests and for
// `make run`: etcd and kube-apiserver by envtest, and a kube-controller-manager, so that garbage
// collection and namespace deletion are real. There are no nodes.
package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kaana/apikey-operator/test/process"
)

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 20 * time.Second
	saKey        = "sa-signer.key" // where envtest keeps it, in the certificate folder
	scripts      = "scripts"       // folder of what process.Tied writes
)

// Options says what to start.
type Options struct {
	Binaries string // folder with etcd, kube-apiserver, kube-controller-manager and kubectl
	State    string // folder for certificates, data, logs and kubeconfigs; must exist
	Port     int    // HTTPS port of the operator's server; 0 takes a free one
}

// Cluster is a running control plane.
type Cluster struct {
	Config     *rest.Config // of an administrator
	Kubeconfig string       // file, of the same

	options Options
	ports   ports

	adminToken string
	cert       Certificate // of the operator's server
	env        *envtest.Environment
	manager    *exec.Cmd
	logs       []*os.File
}

// Root returns the root of the repository, found from a test's own folder upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "PROJECT")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("find the repository: no PROJECT file above the working folder")
}

// Binaries returns the folder of the control plane that the tests run on: $KAANA_K8S, which make sets, or bin/k8s.
func Binaries(root string) string {
	if dir := os.Getenv("KAANA_K8S"); dir != "" {
		return dir
	}
	return filepath.Join(root, "bin", "k8s")
}

// StartForTest starts a control plane with the manifests installed, its state in that folder. It
// needs the binaries of `make controlplane`.
func StartForTest(ctx context.Context, state string) (*Cluster, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	k8s := Binaries(root)
	if _, err := os.Stat(filepath.Join(k8s, "kube-controller-manager")); err != nil {
		return nil, fmt.Errorf("no control plane, run make controlplane: %w", err)
	}
	c, err := Start(ctx, Options{Binaries: k8s, State: state})
	if err != nil {
		return nil, err
	}
	if err := c.Install(ctx, root); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Start starts a control plane. On error nothing is left running.
func Start(ctx context.Context, o Options) (_ *Cluster, failed error) {
	c := &Cluster{options: o, env: &envtest.Environment{
		BinaryAssetsDirectory:    o.Binaries,
		ControlPlaneStartTimeout: startTimeout, ControlPlaneStopTimeout: stopTimeout,
	}}
	defer func() {
		if failed != nil {
			_ = c.Stop()
		}
	}()
	for _, dir := range []string{"certs", "etcd", "log", scripts} {
		if err := os.MkdirAll(filepath.Join(o.State, dir), 0o700); err != nil {
			return nil, fmt.Errorf("make state folder: %w", err)
		}
	}
	etcd, server := &envtest.Etcd{DataDir: filepath.Join(o.State, "etcd")}, c.env.ControlPlane.GetAPIServer()
	c.env.ControlPlane.Etcd = etcd
	server.CertDir = filepath.Join(o.State, "certs")
	for name, out := range map[string]func(f *os.File){
		"etcd":           func(f *os.File) { etcd.Out, etcd.Err = f, f },
		"kube-apiserver": func(f *os.File) { server.Out, server.Err = f, f },
	} {
		f, err := c.log(name)
		if err != nil {
			return nil, err
		}
		out(f)
	}
	etcd.Configure().Append("unsafe-no-fsync")
	if err := c.place(etcd, server); err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	server.Configure().Append("authentication-token-webhook-config-file", filepath.Join(o.State, reviewConfig)).
		Append("token-auth-file", filepath.Join(o.State, tokenFile)).
		Append("authentication-token-webhook-version", "v1").Append("authentication-token-webhook-cache-ttl", "10s")
	var config *rest.Config
	var err error
	process.Lasting(func() { config, err = c.env.Start() })
	if err != nil {
		return nil, fmt.Errorf("start etcd and kube-apiserver: %w", err)
	}
	c.Config = config
	c.Kubeconfig = filepath.Join(o.State, "admin.kubeconfig")
	if err := c.writeKubeconfig(c.Kubeconfig, c.adminToken); err != nil {
		return nil, err
	}
	return c, c.startManager(ctx)
}

// place says where etcd and kube-apiserver listen, which envtest would choose as a port that is free at the moment, and
// sees to it that they end with this process.
func (c *Cluster) place(etcd *envtest.Etcd, server *envtest.APIServer) (err error) {
	folder := filepath.Join(c.options.State, scripts)
	for program, path := range map[string]*string{"etcd": &etcd.Path, "kube-apiserver": &server.Path} {
		if *path, err = process.Tied(folder, filepath.Join(c.options.Binaries, program)); err != nil {
			return err
		}
	}
	var clients, peers, secure string
	for _, at := range []*string{&clients, &peers, &secure} {
		if *at, err = process.Address(); err != nil {
			return err
		}
	}
	etcd.URL = &url.URL{Scheme: "http", Host: clients}
	etcd.Configure().Set("listen-peer-urls", "http://"+peers)
	server.Address, server.Port, err = net.SplitHostPort(secure)
	return err
}

// ports are the addresses of what StartOperator starts.
type ports struct{ server, serverMetrics, extAuthz, probes, controllerMetrics, admission string }

const (
	reviewConfig = "tokenreview.kubeconfig"
	tokenFile    = "tokens.csv"
)

// prepare makes what the API server must know of the operator's server before either runs: where it
// is, and by which CA to trust it.
func (c *Cluster) prepare() error {
	for _, p := range []*string{
		&c.ports.server, &c.ports.serverMetrics, &c.ports.extAuthz, &c.ports.probes, &c.ports.controllerMetrics,
		&c.ports.admission,
	} {
		var err error
		if *p, err = process.Address(); err != nil {
			return err
		}
	}
	if c.options.Port != 0 {
		c.ports.server = fmt.Sprintf("127.0.0.1:%d", c.options.Port)
	}
	var err error
	if c.cert, err = NewCertificate(c.options.State); err != nil {
		return err
	}
	// The administrator has a token, no certificate: a certificate would win over kubectl --token.
	c.adminToken = rand.Text()
	if err := os.WriteFile(
		filepath.Join(c.options.State, tokenFile),
		[]byte(c.adminToken+`,admin,admin,"system:masters"`+"\n"),
		0o600,
	); err != nil {
		return fmt.Errorf("write %s: %w", tokenFile, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["kaana"] = &clientcmdapi.Cluster{
		Server:               "https://" + c.ports.server + "/webhook/tokenreview",
		CertificateAuthority: c.cert.CAFile,
	}
	config.AuthInfos["kube-apiserver"] = &clientcmdapi.AuthInfo{}
	config.Contexts["kaana"] = &clientcmdapi.Context{Cluster: "kaana", AuthInfo: "kube-apiserver"}
	config.CurrentContext = "kaana"
	if err := clientcmd.WriteToFile(*config, filepath.Join(c.options.State, reviewConfig)); err != nil {
		return fmt.Errorf("write %s: %w", reviewConfig, err)
	}
	return nil
}

// startManager starts kube-controller-manager with the kubeconfig of the administrator; each of
// its controllers uses a ServiceAccount of its own.
func (c *Cluster) startManager(ctx context.Context) error {
	ca := filepath.Join(c.options.State, "certs", "ca.crt")
	if err := os.WriteFile(ca, c.Config.CAData, 0o600); err != nil {
		return fmt.Errorf("write CA: %w", err)
	}
	out, err := c.log("kube-controller-manager")
	if err != nil {
		return err
	}
	c.manager = exec.CommandContext(
		context.WithoutCancel(ctx),
		filepath.Join(c.options.Binaries, "kube-controller-manager"),
		"--kubeconfig",
		c.Kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file",
		filepath.Join(c.options.State, "certs", saKey),
		"--root-ca-file",
		ca,
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	)
	c.manager.Stdout, c.manager.Stderr = out, out
	if err := process.Start(c.manager, syscall.SIGKILL); err != nil {
		return fmt.Errorf("start kube-controller-manager: %w", err)
	}
	return nil
}

func (c *Cluster) log(name string) (*os.File, error) {
	f, err := os.Create(filepath.Join(c.options.State, "log", name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	c.logs = append(c.logs, f)
	return f, nil
}

// Stop ends every process that Start started.
func (c *Cluster) Stop() error {
	var errs []error
	if c.manager != nil && c.manager.Process != nil {
		_ = c.manager.Process.Kill() // it holds nothing that a kill could lose
		_ = c.manager.Wait()
	}
	errs = append(errs, c.env.Stop())
	for _, f := range c.logs {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Stored returns every key of etcd with its value, as it is stored.
func (c *Cluster) Stored(ctx context.Context) (map[string][]byte, error) {
	everything := strings.NewReader(`{"key":"AA==","range_end":"AA=="}`) // etcd's way to say so, in base64
	r, err := http.NewRequestWithContext(
		ctx,
		http.MethodPost,
		c.env.ControlPlane.Etcd.URL.JoinPath("/v3/kv/range").String(),
		everything,
	)
	if err != nil {
		return nil, fmt.Errorf("ask etcd: %w", err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask etcd: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Pairs []struct{ Key, Value []byte } `json:"kvs"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read etcd's answer: %w", err)
	}
	out := make(map[string][]byte, len(answer.Pairs))
	for _, p := range answer.Pairs {
		out[string(p.Key)] = p.Value
	}
	return out, nil
}

// Kubectl runs kubectl as the administrator and returns what it printed.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(
		ctx,
		filepath.Join(c.options.Binaries, "kubectl"),
		append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %v: %w: %s", args, err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}

// AccountKubeconfig writes a kubeconfig with a token of a ServiceAccount and returns its file.
func (c *Cluster) AccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return "", fmt.Errorf("make client: %w", err)
	}
	year := int64(365 * 24 * 3600)
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(
		ctx,
		name,
		&authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &year},
		},
		metav1.CreateOptions{},
	)
	if err != nil {
		return "", fmt.Errorf("request token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	file := filepath.Join(c.options.State, name+".kubeconfig")
	return file, c.writeKubeconfig(file, token.Status.Token)
}

// writeKubeconfig writes a kubeconfig for the holder of a token.
func (c *Cluster) writeKubeconfig(file, token string) error {
	server := c.Config.Host
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["local"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: c.Config.CAData}
	config.AuthInfos["local"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["local"] = &clientcmdapi.Context{Cluster: "local", AuthInfo: "local"}
	config.CurrentContext = "local"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
