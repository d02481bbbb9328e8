// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,resourceNames=apikey-operator,verbs=get;update

const (
	// CertificateSecret is the name of the Secret with the certificate of the webhook and its CA.
	CertificateSecret = "apikey-operator-admission-tls"

	// configurations is the name of both webhook configurations.
	configurations = "apikey-operator"
)

// CABundle writes the CA that the API server must trust into the webhook configurations.
type CABundle struct {
	Client client.Writer
	Live   client.Reader
}

// Write writes certificates in PEM into both webhook configurations, unless they already have them.
func (c *CABundle) Write(ctx context.Context, ca []byte) error {
	var mutating admissionv1.MutatingWebhookConfiguration
	if err := c.update(ctx, &mutating, func() (changed bool) {
		for i := range mutating.Webhooks {
			changed = setCA(&mutating.Webhooks[i].ClientConfig, ca) || changed
		}
		return changed
	}); err != nil {
		return err
	}
	var validating admissionv1.ValidatingWebhookConfiguration
	return c.update(ctx, &validating, func() (changed bool) {
		for i := range validating.Webhooks {
			changed = setCA(&validating.Webhooks[i].ClientConfig, ca) || changed
		}
		return changed
	})
}

func setCA(c *admissionv1.WebhookClientConfig, ca []byte) bool {
	if bytes.Equal(c.CABundle, ca) {
		return false
	}
	c.CABundle = ca
	return true
}

func (c *CABundle) update(ctx context.Context, o client.Object, change func() bool) error {
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
