// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
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
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,resourceNames=apikey-operator,verbs=get;update

const (
	// configurations is the name of both webhook configurations.
	configurations = "apikey-operator"
	// CertificateSecret is the Secret that the certificate and its CA are kept in.
	CertificateSecret = "apikey-operator-admission-tls"

	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 365 * 24 * time.Hour
	renewBefore  = 90 * 24 * time.Hour
	backdate     = time.Hour // for clocks that lag
	checkEvery   = time.Minute
	retryAfter   = 2 * time.Second

	caCert, caKey = "ca.crt", "ca.key"
)

// Certificates makes and renews the webhook's certificate, keeps it in a Secret that all replicas
// share, and tells the API server which CA to trust. The certificates are cert-controller's. Its
// rotator is not used: it needs the Secret mounted, which lags by up to 90 seconds, and ends the
// process when something is missing, which must not stop keys from rotating.
type Certificates struct {
	Client    client.Writer
	Live      client.Reader
	Namespace string // of the Secret
	Host      string // DNS name that the API server calls
	Log       *slog.Logger

	current atomic.Pointer[tls.Certificate]
}

// Get implements tls.Config.GetCertificate.
func (c *Certificates) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := c.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, errors.New("the certificate is not made yet")
}

// NeedLeaderElection says that every replica serves.
func (*Certificates) NeedLeaderElection() bool { return false }

// Start keeps the certificate good until ctx is done. Trouble is logged and tried again.
func (c *Certificates) Start(ctx context.Context) error {
	for {
		pause := checkEvery
		if err := c.ensure(ctx); err != nil && ctx.Err() == nil {
			if !apierrors.IsNotFound(err) { // else the configurations are not installed, which takes a person
				pause = retryAfter
			}
			if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) { // else another replica was faster
				c.Log.WarnContext(ctx, "admission certificate", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (c *Certificates) ensure(ctx context.Context) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: CertificateSecret}}
	if err := c.Live.Get(ctx, client.ObjectKeyFromObject(secret), secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get Secret %s: %w", CertificateSecret, err)
	}
	if err := c.renew(ctx, secret); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("load certificate of Secret %s: %w", CertificateSecret, err)
	}
	c.current.Store(&pair)
	return c.trust(ctx, secret.Data[caCert])
}

// renew makes what is missing of the certificate and its CA, or about to expire, and writes it.
func (c *Certificates) renew(ctx context.Context, secret *corev1.Secret) error {
	const ca = "kaana-apikey-operator-ca"
	maker := rotator.CertRotator{CAName: ca, CAOrganization: "kaana", DNSName: c.Host, ExtKeyUsages: &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	now, data := time.Now(), secret.Data
	if good, _ := rotator.ValidCert(data[caCert], data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], c.Host, maker.ExtKeyUsages, now.Add(renewBefore)); good {
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
	secret.Data = map[string][]byte{caCert: issuer.CertPEM, caKey: issuer.KeyPEM, corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}
	if secret.ResourceVersion == "" {
		err = c.Client.Create(ctx, secret)
	} else {
		err = c.Client.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", CertificateSecret, err)
	}
	return nil
}

// authority reads the CA that is kept in the Secret.
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

// trust puts the CA into the webhook configurations.
func (c *Certificates) trust(ctx context.Context, ca []byte) error {
	var mutating admissionv1.MutatingWebhookConfiguration
	if err := c.inject(ctx, &mutating, func() (changed bool) {
		for i := range mutating.Webhooks {
			changed = put(&mutating.Webhooks[i].ClientConfig, ca) || changed
		}
		return changed
	}); err != nil {
		return err
	}
	var validating admissionv1.ValidatingWebhookConfiguration
	return c.inject(ctx, &validating, func() (changed bool) {
		for i := range validating.Webhooks {
			changed = put(&validating.Webhooks[i].ClientConfig, ca) || changed
		}
		return changed
	})
}

func put(c *admissionv1.WebhookClientConfig, ca []byte) bool {
	if bytes.Equal(c.CABundle, ca) {
		return false
	}
	c.CABundle = ca
	return true
}

func (c *Certificates) inject(ctx context.Context, o client.Object, change func() bool) error {
	if err := c.Live.Get(ctx, client.ObjectKey{Name: configurations}, o); err != nil {
		return fmt.Errorf("get %T %s: %w", o, configurations, err)
	}
	if !change() {
		return nil
	}
	if err := c.Client.Update(ctx, o); err != nil {
		return fmt.Errorf("write %T %s: %w", o, configurations, err)
	}
	return nil
}
