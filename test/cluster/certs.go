// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificate is a serving certificate in files.
type Certificate struct{ CertFile, KeyFile, CAFile string }

// NewCertificate writes a certificate for 127.0.0.1 and localhost into the folder, with its key,
// valid for a year. The CA that signs it is made once for each folder.
func NewCertificate(dir string) (Certificate, error) {
	c := Certificate{
		CertFile: filepath.Join(dir, "tls.crt"),
		KeyFile:  filepath.Join(dir, "tls.key"),
		CAFile:   filepath.Join(dir, "ca.crt"),
	}
	issuer, err := authority(c.CAFile, filepath.Join(dir, "ca.key"))
	if err != nil {
		return c, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(
			-time.Hour,
		),
		NotAfter:    time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost"},
	}
	return c, issue(leaf, issuer, c.CertFile, c.KeyFile)
}

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority reads the CA of those files, or makes one.
func authority(certFile, keyFile string) (*pair, error) {
	if both, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
		if key, ok := both.PrivateKey.(crypto.Signer); ok {
			return &pair{both.Leaf, key}, nil
		}
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "kaana local CA"},
		NotBefore: time.Now().Add(
			-time.Hour,
		),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	if err := issue(root, nil, certFile, keyFile); err != nil {
		return nil, err
	}
	return authority(certFile, keyFile)
}

// issue makes a key, has the issuer sign the certificate (nil: it signs itself) and writes both.
func issue(cert *x509.Certificate, by *pair, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	if by == nil {
		by = &pair{cert, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{{keyFile, "PRIVATE KEY", keyDER}, {certFile, "CERTIFICATE", der}} {
		if err := os.WriteFile(f.name, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
	}
	return nil
}
