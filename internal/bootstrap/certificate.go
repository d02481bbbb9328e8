// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 365 * 24 * time.Hour
	renewBefore  = 90 * 24 * time.Hour
	backdate     = time.Hour // for clocks that are behind
	checkEvery   = time.Minute
	retryAfter   = 2 * time.Second

	caCert, caKey = "ca.crt", "ca.key"
)

// Certificate creates and renews a certificate and its CA, and stores both in a Secret that all replicas share. It
// creates them with cert-controller, but does not use its rotator. The rotator needs a mounted Secret, which lags by up
// to 90 seconds, and ends the process when something is missing, which would stop keys from rotating.
type Certificate struct {
	Client client.Writer
	Live   client.Reader
	Secret client.ObjectKey
	Hosts  []string // DNS names, at least one
	// Check is called with the CA in PEM, repeatedly and by each replica. Its error is logged. It is optional.
	Check func(ctx context.Context, ca []byte) error
	Log   *slog.Logger

	current atomic.Pointer[tls.Certificate]
	ca      []byte // in PEM; only Start uses it
}

// Get implements tls.Config.GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := c.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, errors.New("the certificate does not exist yet")
}

// NeedLeaderElection reports that every replica needs the certificate.
func (*Certificate) NeedLeaderElection() bool { return false }

// Start keeps the certificate valid until ctx is done. It logs errors and retries.
func (c *Certificate) Start(ctx context.Context) error {
	for {
		pause := checkEvery
		if err := c.ensure(ctx); err != nil && ctx.Err() == nil {
			if !apierrors.IsNotFound(err) && !errors.Is(err, errForeign) { // only an admin can resolve these
				pause = retryAfter
			}
			if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) { // another replica was faster
				c.Log.WarnContext(ctx, "certificate", "secret", c.Secret.Name, "error", err)
			}
		}
		c.check(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (c *Certificate) ensure(ctx context.Context) error {
	secret, err := kept(ctx, c.Live, c.Secret)
	if err != nil {
		return err
	}
	if err := c.renew(ctx, secret); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("load certificate of Secret %s: %w", c.Secret.Name, err)
	}
	c.current.Store(&pair)
	c.ca = secret.Data[caCert]
	return nil
}

// check logs what Check says of the CA.
func (c *Certificate) check(ctx context.Context) {
	if c.Check == nil || c.ca == nil {
		return
	}
	if err := c.Check(ctx, c.ca); err != nil && ctx.Err() == nil {
		c.Log.WarnContext(ctx, "certificate", "secret", c.Secret.Name, "error", err)
	}
}

// renew creates the certificate and its CA, as far as they are missing or about to expire, and stores them.
func (c *Certificate) renew(ctx context.Context, secret *corev1.Secret) error {
	const ca = "kaana-apikey-operator-ca"
	maker := rotator.CertRotator{CAName: ca, CAOrganization: "kaana", DNSName: c.Hosts[0], ExtraDNSNames: c.Hosts[1:],
		ExtKeyUsages: &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	now, data := time.Now(), secret.Data
	if c.good(data, maker.ExtKeyUsages, now.Add(renewBefore)) {
		return nil
	}
	issuer, err := authority(data)
	if err != nil || issuer.Cert.NotAfter.Before(now.Add(leafLifetime)) {
		if issuer, err = maker.CreateCACert(now.Add(-backdate), now.Add(caLifetime)); err != nil {
			return fmt.Errorf("make CA: %w", err)
		}
	}
	cert, key, err := maker.CreateCertPEM(issuer, now.Add(-backdate), now.Add(leafLifetime))
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	secret.Type = corev1.SecretTypeTLS
	secret.Data = map[string][]byte{caCert: issuer.CertPEM, caKey: issuer.KeyPEM,
		corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}
	return keep(ctx, c.Client, secret)
}

// good reports whether the certificate is valid for all names until then.
func (c *Certificate) good(data map[string][]byte, usages *[]x509.ExtKeyUsage, until time.Time) bool {
	for _, host := range c.Hosts {
		cert, key := data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]
		if good, _ := rotator.ValidCert(data[caCert], cert, key, host, usages, until); !good {
			return false
		}
	}
	return true
}

// authority reads the CA from the data of the Secret.
func authority(data map[string][]byte) (*rotator.KeyPairArtifacts, error) {
	certDER, _ := pem.Decode(data[caCert])
	keyDER, _ := pem.Decode(data[caKey])
	if certDER == nil || keyDER == nil {
		return nil, errors.New("no CA")
	}
	cert, err := x509.ParseCertificate(certDER.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	key, err := x509.ParsePKCS1PrivateKey(keyDER.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read CA key: %w", err)
	}
	return &rotator.KeyPairArtifacts{Cert: cert, Key: key, CertPEM: data[caCert], KeyPEM: data[caKey]}, nil
}
