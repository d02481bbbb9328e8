// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// echo is an API server whose webhook refuses a Secret and repeats what is in it.
type echo struct{ client.Writer }

func (echo) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Code: 403, Reason: metav1.StatusReasonForbidden, Message: string(o.(*corev1.Secret).Data["tls.key"]),
	}}
}

func TestARefusalDoesNotShowAPrivateKey(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tls"}, Data: map[string][]byte{"tls.key": []byte("PRIVATE")}}
	err := keep(t.Context(), echo{}, secret)
	if err == nil || strings.Contains(err.Error(), "PRIVATE") || !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want a refusal without the private key", err)
	}
}
