// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/internal/admission"
	"github.com/kaana/apikey-operator/internal/clock"
	"github.com/kaana/apikey-operator/internal/config"
)

// trustPause is the time between two looks for the Secret that the controller makes.
const trustPause = 200 * time.Millisecond

// trustCommand returns the command that has the API server trust the admission webhook. The installation runs it once,
// with permissions that the controller does not have.
func trustCommand(kubeconfig *string) *cobra.Command {
	var namespace string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "trust-webhook",
		Short: "Have the API server trust the certificate of the admission webhook, once at each installation",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			return trustWebhook(ctx, *kubeconfig, namespace, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&namespace, "namespace", "", "Namespace of the operator; in a Pod, its own is the default")
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "for how long to wait for the certificate")
	return cmd
}

func trustWebhook(ctx context.Context, kubeconfig, namespace string, out io.Writer) error {
	if namespace == "" {
		own, err := ownNamespace(config.Controller{})
		if err != nil {
			return errors.New("--namespace is required outside a cluster")
		}
		namespace = own
	}
	kube, err := connect(ctx, kubeconfig, clock.New())
	if err != nil {
		return err
	}
	c, err := client.New(kube, client.Options{})
	if err != nil {
		return fmt.Errorf("make client for %s: %w", kube.Host, err)
	}
	ca, err := webhookCA(ctx, c, namespace)
	if err != nil {
		return err
	}
	if err := admission.Trust(ctx, c, ca); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "The API server trusts the admission webhook.")
	return nil
}

// webhookCA waits until the controller has made the certificate of the webhook, and returns its CA.
func webhookCA(ctx context.Context, c client.Client, namespace string) ([]byte, error) {
	at := client.ObjectKey{Namespace: namespace, Name: admission.CertificateSecret}
	for {
		var secret corev1.Secret
		err := c.Get(ctx, at, &secret)
		if ca := secret.Data[admission.CACertificate]; err == nil && len(ca) > 0 {
			return ca, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the controller has made no certificate in Secret %s: is it running? %w", at, err)
		case <-time.After(trustPause):
		}
	}
}
