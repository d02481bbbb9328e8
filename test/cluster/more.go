// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kaana/apikey-operator/test/issuer"
	"github.com/kaana/apikey-operator/test/process"
)

// StartReplica starts one more server under a name of its own, and returns its URL and what ends it.
func (c *Cluster) StartReplica(
	ctx context.Context,
	op *Operator,
	binary, name string,
) (url string, stop func(), failed error) {
	listen, err := process.Address()
	if err != nil {
		return "", nil, err
	}
	config := fmt.Sprintf(`listen: %s
metrics: 127.0.0.1:0
extAuthz: 127.0.0.1:0
activity: {database: "off"}
tls: {certFile: %q, keyFile: %q}
jwt:
- issuer: {url: %q, audiences: [%q], certificateAuthorityFile: %q}
`, listen, c.cert.CertFile, c.cert.KeyFile, op.Issuer.URL, issuer.Audience, c.cert.CAFile)
	p, err := c.startProcess(ctx, binary, "server", name, func(string, ...any) {}, config)
	if err != nil {
		return "", nil, err
	}
	url = "https://" + listen
	if err := wait(ctx, p, func() bool { return answersOK(ctx, op.Client, url+"/readyz") }, p.failed); err != nil {
		p.stop()
		return "", nil, err
	}
	return url, p.stop, nil
}

// Controller says how StartController starts a controller.
type Controller struct {
	Account string // ServiceAccount of the operator's Namespace
	Config  string // YAML, besides the addresses
	Server  string // URL of the API server; empty: as it is
	CA      []byte // of Server, in PEM
}

// StartController starts one more controller under a name of its own. It returns the address of its probes and what
// ends it, and does not wait until it is ready.
func (c *Cluster) StartController(ctx context.Context, binary, name string, o Controller) (
	probes string, stop func(), failed error) {
	probes, err := process.Address()
	if err != nil {
		return "", nil, err
	}
	kubeconfig, err := c.AccountKubeconfig(ctx, systemNamespace, o.Account)
	if err != nil {
		return "", nil, err
	}
	if o.Server != "" {
		config, err := clientcmd.LoadFromFile(kubeconfig)
		if err != nil {
			return "", nil, fmt.Errorf("read kubeconfig: %w", err)
		}
		for _, at := range config.Clusters {
			at.Server, at.CertificateAuthorityData = o.Server, o.CA
		}
		kubeconfig = filepath.Join(c.options.State, name+".kubeconfig")
		if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
			return "", nil, fmt.Errorf("write kubeconfig: %w", err)
		}
	}
	config := fmt.Sprintf("probes: %s\nmetrics: 127.0.0.1:0\n%s\n", probes, o.Config)
	//nolint:contextcheck // it outlives the context
	p, err := c.startAs(kubeconfig, binary, "controller", name, func(string, ...any) {}, config)
	if err != nil {
		return "", nil, err
	}
	return probes, p.stop, nil
}
