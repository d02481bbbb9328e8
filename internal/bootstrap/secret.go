// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// managedBy marks the Secrets that this package owns (a recommended label of Kubernetes).
const managedBy, ourselves = "app.kubernetes.io/managed-by", "apikey-operator-controller"

// errForeign means that a Secret does not belong to the operator.
var errForeign = errors.New("the operator did not create it: delete it, or configure another name")

// kept returns a Secret that this package owns, and an empty one if it does not exist.
func kept(ctx context.Context, live client.Reader, at client.ObjectKey) (*corev1.Secret, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: at.Name}}
	if err := live.Get(ctx, at, secret); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("get Secret %s: %w", at.Name, err)
	}
	if secret.ResourceVersion != "" && secret.Labels[managedBy] != ourselves {
		return nil, fmt.Errorf("use Secret %s: %w", at.Name, errForeign)
	}
	return secret, nil
}

// keep creates a Secret, or updates it if it has not changed since kept read it.
func keep(ctx context.Context, to client.Writer, secret *corev1.Secret) (err error) {
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	secret.Labels[managedBy] = ourselves
	if secret.ResourceVersion == "" {
		err = to.Create(ctx, secret)
	} else {
		err = to.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", secret.Name, kube.Withhold(err))
	}
	return nil
}
