// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/keyring"
)

// revocations measures how long a key is accepted after the API server has answered its revocation.
func (f *field) revocations(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ring := keyring.New(0)
	go func() { _ = ring.Watch(ctx, f.config) }()
	for !ring.Ready() {
		time.Sleep(time.Millisecond)
	}
	format, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		return err
	}
	v := &authn.Verifier{Format: format, Keys: ring, Now: time.Now}
	var took []time.Duration
	for i := range 500 {
		at := client.ObjectKey{Namespace: group("ours", i/items), Name: fmt.Sprint("key-", i%items)}
		var s corev1.Secret
		if err := f.admin.Get(ctx, at, &s); err != nil {
			return err
		}
		token := string(s.Data["token"])
		accepted := func() bool {
			_, denial, err := v.Verify(ctx, token, netip.Addr{})
			return err == nil && !denial.Denied()
		}
		if !accepted() {
			return errors.New("a live key is refused")
		}
		o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: at.Name}}
		if err := f.admin.Patch(
			ctx,
			o,
			client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"state":"Revoked"}}`)),
		); err != nil {
			return err
		}
		begin := time.Now()
		for accepted() {
			time.Sleep(10 * time.Microsecond)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	verdict := "ok"
	if p99 > 3*time.Millisecond {
		verdict = "BEYOND"
		f.missed++
	}
	fmt.Printf(
		"%-48s %10v %10v %15s  %s\n",
		"revocation: reply → last 200, 2,000 keys, p50 p99",
		took[len(took)/2].Round(10*time.Microsecond),
		p99.Round(10*time.Microsecond),
		"≤ 3ms",
		verdict,
	)
	return nil
}
