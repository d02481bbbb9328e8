// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// Webhook stamps and looks at ApiKeys on their way into the API server. All fields are required.
type Webhook struct {
	Cache client.Reader // of ApiKeys, indexed by kube.BySecret
	Live  client.Reader // of the metadata of Secrets
	Now   func() time.Time
}

// Mount puts both webhooks on a server, under the paths that controller-runtime gives them.
func (w *Webhook) Mount(server webhook.Server, scheme *runtime.Scheme) {
	server.Register("/mutate-auth-kaana-com-v1alpha1-apikey", &admission.Webhook{Handler: admission.HandlerFunc(stamp)})
	server.Register("/validate-auth-kaana-com-v1alpha1-apikey", admission.WithValidator(scheme, w))
}

// stamp writes who asked for the ApiKey, and keeps the stamp of one that exists. It touches nothing
// else: an author's 720h must not come back as 720h0m0s.
func stamp(_ context.Context, req admission.Request) admission.Response {
	var o, old metav1.PartialObjectMetadata
	if err := json.Unmarshal(req.Object.Raw, &o); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("read ApiKey: %w", err))
	}
	want := req.UserInfo.Username
	if len(req.OldObject.Raw) > 0 {
		if err := json.Unmarshal(req.OldObject.Raw, &old); err != nil {
			return admission.Errored(http.StatusBadRequest, fmt.Errorf("read the ApiKey as it was: %w", err))
		}
		want = old.Annotations[v1alpha1.RequestedByAnnotation]
	}
	const annotations = "/metadata/annotations"
	at := annotations + "/" + strings.ReplaceAll(v1alpha1.RequestedByAnnotation, "/", "~1") // RFC 6901
	has, there := o.Annotations[v1alpha1.RequestedByAnnotation]
	switch {
	case want == has && (there || want == ""):
		return admission.Allowed("")
	case want == "":
		return admission.Patched("", jsonpatch.NewOperation("remove", at, nil))
	case o.Annotations == nil:
		return admission.Patched("", jsonpatch.NewOperation("add", annotations, map[string]string{v1alpha1.RequestedByAnnotation: want}))
	}
	return admission.Patched("", jsonpatch.NewOperation("add", at, want))
}

// ValidateCreate refuses what could only fail later, and warns.
func (w *Webhook) ValidateCreate(ctx context.Context, o *v1alpha1.ApiKey) (admission.Warnings, error) {
	return w.look(ctx, &v1alpha1.ApiKey{}, o)
}

// ValidateUpdate does the same for the fields that change: whatever is wrong with the others must
// not stand in the way of, say, a revocation.
func (w *Webhook) ValidateUpdate(ctx context.Context, old, o *v1alpha1.ApiKey) (admission.Warnings, error) {
	return w.look(ctx, old, o)
}

// ValidateDelete lets every deletion through.
func (*Webhook) ValidateDelete(context.Context, *v1alpha1.ApiKey) (admission.Warnings, error) {
	return nil, nil
}

func (w *Webhook) look(ctx context.Context, old, o *v1alpha1.ApiKey) (admission.Warnings, error) {
	if o.Spec.State == v1alpha1.KeyRevoked || !o.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	if problems := faults(old, o); len(problems) > 0 {
		return nil, apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("ApiKey").GroupKind(), o.Name, problems)
	}
	var warnings admission.Warnings
	if !equality.Semantic.DeepEqual(old.Spec.Rotation, o.Spec.Rotation) || !equality.Semantic.DeepEqual(old.Spec.ExpiresAt, o.Spec.ExpiresAt) {
		warnings = append(warnings, w.timing(o)...)
	}
	if old.Name == "" || kube.SecretName(old) != kube.SecretName(o) {
		warnings = append(warnings, w.taken(ctx, o)...)
	}
	return warnings, nil
}

// faults returns what cannot work among the fields that change.
func faults(old, o *v1alpha1.ApiKey) field.ErrorList {
	var out field.ErrorList
	if !equality.Semantic.DeepEqual(old.Spec.Rotation, o.Spec.Rotation) {
		if _, err := kube.Cadence(o); err != nil {
			out = append(out, field.Invalid(field.NewPath("spec", "rotation"), field.OmitValueType{}, err.Error()))
		}
	}
	if !equality.Semantic.DeepEqual(old.Spec.Secret, o.Spec.Secret) {
		if fault := kube.TemplateFault(o); fault != "" {
			out = append(out, field.Invalid(field.NewPath("spec", "secret", "template"), field.OmitValueType{}, fault))
		}
	}
	return out
}

// timing warns of times that do not go together.
func (w *Webhook) timing(o *v1alpha1.ApiKey) (out admission.Warnings) {
	now, end := w.Now(), kube.Key(o).ExpiresAt
	if !end.IsZero() && !end.After(now) {
		return admission.Warnings{"spec.expiresAt has passed: no token is issued, and one that is delivered is refused"}
	}
	cadence, err := kube.Cadence(o)
	if err != nil || cadence == (apikey.Cadence{}) {
		return nil
	}
	next := cadence.After(now)
	if !end.IsZero() && end.Before(next) {
		out = append(out, fmt.Sprintf("spec.expiresAt is before the next rotation (%s): the key expires without having rotated", next.UTC().Format(time.RFC3339)))
	}
	if gap, overlap := cadence.After(next).Sub(next), kube.Overlap(o); gap > 0 && overlap > gap {
		out = append(out, fmt.Sprintf("spec.rotation.overlap (%v) is longer than the time between rotations (about %v): several former tokens are accepted at once, and rotations wait when three are", overlap, gap.Round(time.Minute)))
	}
	return out
}

// taken warns when the Secret's name is in use. What cannot be looked up is not warned of.
func (w *Webhook) taken(ctx context.Context, o *v1alpha1.ApiKey) admission.Warnings {
	if kube.Imported(o) || kube.SecretName(o) == "" { // a name that is generated is not known yet, and new
		return nil
	}
	if other := w.rival(ctx, o); other != "" {
		return admission.Warnings{fmt.Sprintf("Secret %s is what ApiKey %s delivers to: this one waits until it is free", kube.SecretName(o), other)}
	}
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := w.Live.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: kube.SecretName(o)}, secret); err != nil {
		return nil
	}
	if owner := metav1.GetControllerOf(secret); owner != nil && owner.Kind == "ApiKey" && owner.Name == o.Name {
		return nil
	}
	return admission.Warnings{fmt.Sprintf("Secret %s exists and is not this ApiKey's: it is left untouched, and no token is delivered until the name is free", secret.Name)}
}

// rival returns the name of another ApiKey that delivers to the same Secret, or "".
func (w *Webhook) rival(ctx context.Context, o *v1alpha1.ApiKey) string {
	var list v1alpha1.ApiKeyList
	at := client.MatchingFields{kube.BySecret: kube.SecretName(o)}
	if err := w.Cache.List(ctx, &list, client.InNamespace(o.Namespace), at, client.UnsafeDisableDeepCopy); err != nil {
		return ""
	}
	for i := range list.Items {
		if other := &list.Items[i]; other.Name != o.Name && !kube.Key(other).Over(w.Now()) {
			return other.Name
		}
	}
	return ""
}
