// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// managedBy is the label that says whose a Secret is (Kubernetes' recommended labels).
const managedBy, ourselves = "app.kubernetes.io/managed-by", "apikey-operator-controller"

// errForeign says that a Secret is somebody else's.
var errForeign = errors.New("somebody else has made it: delete it, or name another in the configuration")

// kept returns a Secret of ours; one that is not there is empty.
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

// keep writes a Secret of ours as it was read, or makes it.
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
		return fmt.Errorf("write Secret %s: %w", secret.Name, err)
	}
	return nil
}
