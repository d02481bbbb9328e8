// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/keyring"
	"github.com/kaana/apikey-operator/internal/manage"
)

// newManager returns the service that manages keys. It reads from the API server without a cache, so that users see the
// result of their last change.
func newManager(kube *rest.Config, ring *keyring.Index, format apikey.Format) (*manage.Service, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), eventsv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register types: %w", err)
	}
	c, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", kube.Host, err)
	}
	return &manage.Service{Client: c, Tenants: ring, Format: format, Entropy: rand.Reader, Now: time.Now}, nil
}
