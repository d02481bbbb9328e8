// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

const (
	// restartedAt is the annotation of `kubectl rollout restart` on a pod template.
	restartedAt = "kubectl.kubernetes.io/restartedAt"
	podPage     = 500
)

// notify restarts and refreshes the consumers of the current token. It may be repeated: a consumer that has the token
// is left alone. A refusal that needs a person is a fault, not an error.
func (r *Reconciler) notify(ctx context.Context, o *v1alpha1.ApiKey, v *observation) error {
	current := ""
	for _, c := range v.Credentials {
		if c.Phase == apikey.Current {
			current = c.Digest.ID()
		}
	}
	var refused []error
	for _, err := range r.notifyAll(ctx, o, v, current) {
		if !needsPerson(err) {
			return err
		}
		refused = append(refused, err)
	}
	if len(refused) > 0 {
		v.Consumers.Fault = strings.ReplaceAll(errors.Join(refused...).Error(), "\n", "; ")
		return nil
	}
	v.Consumers.Notified = current
	return nil
}

// needsPerson reports whether an error stays until a person changes something.
func needsPerson(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsMethodNotSupported(err) ||
		apierrors.IsRequestEntityTooLargeError(err)
}

// notifyAll notifies every consumer, also when another one fails.
func (r *Reconciler) notifyAll(
	ctx context.Context,
	o *v1alpha1.ApiKey,
	v *observation,
	current string,
) (errs []error) {
	for _, c := range o.Spec.Secret.Restart {
		if err := r.restart(ctx, o, c, v.Rotation.Last); err != nil {
			errs = append(errs, err)
		}
	}
	if o.Spec.Secret.Refresh == v1alpha1.RefreshPods {
		if err := r.refresh(ctx, o.Namespace, v.SecretName, current); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// restart stamps the pod template of a workload with the second after the delivery, unless it was
// restarted later than that. Two leaders write the same stamp, which is one restart.
func (r *Reconciler) restart(
	ctx context.Context,
	o *v1alpha1.ApiKey,
	c v1alpha1.Consumer,
	delivered time.Time,
) error {
	workload := &unstructured.Unstructured{}
	workload.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: string(c.Kind)})
	workload.SetNamespace(o.Namespace)
	workload.SetName(c.Name)
	related := workload.DeepCopy()
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(related), workload)
	if apierrors.IsNotFound(err) {
		r.emit(o, related, apikey.Event{Warning: true, Reason: v1alpha1.ReasonConsumerMissing,
			Message: fmt.Sprintf("%s %s, which spec.secret.restart names, does not exist", c.Kind, c.Name)})
		return nil
	}
	if err != nil {
		return fmt.Errorf("get %s %s: %w", c.Kind, c.Name, err)
	}
	// A template that is no object or has other annotations than strings cannot come from the API server.
	was, _, _ := unstructured.NestedString(workload.Object, "spec", "template", "metadata", "annotations", restartedAt)
	if at, err := time.Parse(time.RFC3339, was); err == nil && at.After(delivered) {
		return nil
	}
	stamp := map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{restartedAt: delivered.Add(time.Second).UTC().Format(time.RFC3339)}}}}}
	if err := r.patch(ctx, workload, stamp); err != nil {
		return fmt.Errorf("restart %s %s: %w", c.Kind, c.Name, err)
	}
	r.emit(
		o,
		related,
		apikey.Event{
			Reason:  v1alpha1.ReasonRestarted,
			Message: fmt.Sprintf("Restarted %s %s, which reads the token when it starts", c.Kind, c.Name),
		},
	)
	return nil
}

// refresh touches every Pod that mounts the Secret.
func (r *Reconciler) refresh(ctx context.Context, namespace, secret, current string) error {
	var pods corev1.PodList
	for {
		if err := r.Live.List(
			ctx,
			&pods,
			client.InNamespace(namespace),
			client.Limit(podPage),
			client.Continue(pods.Continue),
		); err != nil {
			return fmt.Errorf("refresh Pods (config/rbac/refresh permits it): %w", err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if !mounts(pod, secret) || pod.Annotations[v1alpha1.RefreshedAnnotation] == current {
				continue
			}
			touch := map[string]any{
				"metadata": map[string]any{"annotations": map[string]string{v1alpha1.RefreshedAnnotation: current}},
			}
			if err := r.patch(ctx, pod, touch); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("refresh Pod %s (config/rbac/refresh permits it): %w", pod.Name, err)
			}
		}
		if pods.Continue == "" {
			return nil
		}
	}
}

// mounts reports whether a Pod that may still run has the Secret in a volume.
func mounts(pod *corev1.Pod, secret string) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return false
	}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && v.Secret.SecretName == secret {
			return true
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.Secret != nil && s.Secret.Name == secret {
				return true
			}
		}
	}
	return false
}

func (r *Reconciler) patch(ctx context.Context, o client.Object, change map[string]any) error {
	body, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	return r.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, body))
}
