// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The controller only reads the webhook configurations. An account that may write one can have the API server send
// every object of the cluster to an address of its choice, and no policy can limit that: the API server exempts these
// configurations from admission. A Job of the installation writes them once (apikey-operator trust-webhook).
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,resourceNames=apikey-operator,verbs=get

const (
	// CertificateSecret is the name of the Secret with the certificate of the webhook and its CA.
	CertificateSecret = "apikey-operator-admission-tls"
	// CACertificate is the key of the CA in that Secret.
	CACertificate = "ca.crt"

	// configurations is the name of both webhook configurations.
	configurations = "apikey-operator"
)

// errUntrusted means that the API server does not call the webhook.
var errUntrusted = errors.New("the API server does not trust the webhook's certificate, so ApiKeys are created " +
	"without a record of their author: run helm upgrade, or apikey-operator trust-webhook as an admin of the cluster")

// Trusted returns an error unless both webhook configurations have this CA, in PEM.
func Trusted(ctx context.Context, live client.Reader, ca []byte) error {
	return each(ctx, live, func(_ client.Object, at []*admissionv1.WebhookClientConfig) error {
		for _, c := range at {
			if !bytes.Equal(c.CABundle, ca) {
				return errUntrusted
			}
		}
		return nil
	})
}

// Trust writes a CA, in PEM, into both webhook configurations, unless they already have it.
func Trust(ctx context.Context, c client.Client, ca []byte) error {
	return each(ctx, c, func(o client.Object, at []*admissionv1.WebhookClientConfig) error {
		changed := false
		for _, c := range at {
			changed = changed || !bytes.Equal(c.CABundle, ca)
			c.CABundle = ca
		}
		if !changed {
			return nil
		}
		if err := c.Update(ctx, o); err != nil {
			return fmt.Errorf("write %T %s: %w", o, configurations, err)
		}
		return nil
	})
}

// each calls do with both webhook configurations, and with what each says of the clients of its webhooks.
func each(
	ctx context.Context,
	live client.Reader,
	do func(client.Object, []*admissionv1.WebhookClientConfig) error,
) error {
	var mutating admissionv1.MutatingWebhookConfiguration
	var validating admissionv1.ValidatingWebhookConfiguration
	for _, o := range []client.Object{&mutating, &validating} {
		if err := live.Get(ctx, client.ObjectKey{Name: configurations}, o); err != nil {
			return fmt.Errorf("get %T %s: %w", o, configurations, err)
		}
	}
	var of [2][]*admissionv1.WebhookClientConfig
	for i := range mutating.Webhooks {
		of[0] = append(of[0], &mutating.Webhooks[i].ClientConfig)
	}
	for i := range validating.Webhooks {
		of[1] = append(of[1], &validating.Webhooks[i].ClientConfig)
	}
	return errors.Join(do(&mutating, of[0]), do(&validating, of[1]))
}
