// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gomodules.xyz/jsonpatch/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// Webhook reviews ApiKeys before the API server stores them. It answers from the ApiKey alone: any Pod can call it, and
// would otherwise learn which Secrets and ApiKeys exist in any Namespace. All fields are required.
type Webhook struct {
	Now func() time.Time
}

// Mount registers both webhooks on a server, under the paths that controller-runtime would choose.
func (w *Webhook) Mount(server webhook.Server) {
	b := newBounds()
	for path, f := range map[string]admission.HandlerFunc{
		"/mutate-auth-kaana-com-v1alpha1-apikey": recordAuthor, "/validate-auth-kaana-com-v1alpha1-apikey": w.review,
	} {
		server.Register(path, b.handler(&admission.Webhook{Handler: f}))
	}
}

// metadata is what the webhooks read of an object's metadata. The rest is not decoded: any Pod can send a review, and
// Go takes fifty times the bytes of an empty object in a list.
type metadata struct {
	Name              string            `json:"name"`
	UID               types.UID         `json:"uid"`
	DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
	Annotations       map[string]string `json:"annotations"`
}

// recordAuthor annotates a new ApiKey with its author, and keeps the annotation of an existing one. It patches nothing
// else: a decoded and encoded ApiKey would differ from what its author wrote, such as 720h0m0s instead of 720h.
func recordAuthor(_ context.Context, req admission.Request) admission.Response {
	var o, old struct{ Metadata metadata }
	if err := json.Unmarshal(req.Object.Raw, &o); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("read ApiKey: %w", err))
	}
	author := req.UserInfo.Username
	if len(req.OldObject.Raw) > 0 {
		if err := json.Unmarshal(req.OldObject.Raw, &old); err != nil {
			return admission.Errored(http.StatusBadRequest, fmt.Errorf("read old ApiKey: %w", err))
		}
		author = old.Metadata.Annotations[v1alpha1.RequestedByAnnotation]
	}
	const annotations = "/metadata/annotations"
	path := annotations + "/" + strings.ReplaceAll(v1alpha1.RequestedByAnnotation, "/", "~1") // RFC 6901
	has, ok := o.Metadata.Annotations[v1alpha1.RequestedByAnnotation]
	switch {
	case author == has && (ok || author == ""):
		return admission.Allowed("")
	case author == "":
		return admission.Patched("", jsonpatch.NewOperation("remove", path, nil))
	case o.Metadata.Annotations == nil:
		value := map[string]string{v1alpha1.RequestedByAnnotation: author}
		return admission.Patched("", jsonpatch.NewOperation("add", annotations, value))
	}
	return admission.Patched("", jsonpatch.NewOperation("add", path, author))
}

// review rejects specs that would fail later, and warns about likely mistakes. Of a change it reviews the fields that
// change: mistakes in other fields must not prevent, for example, a revocation.
func (w *Webhook) review(_ context.Context, req admission.Request) admission.Response {
	o, err := decode(req.Object.Raw)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("read ApiKey: %w", err))
	}
	old := &v1alpha1.ApiKey{}
	if len(req.OldObject.Raw) > 0 {
		if old, err = decode(req.OldObject.Raw); err != nil {
			return admission.Errored(http.StatusBadRequest, fmt.Errorf("read old ApiKey: %w", err))
		}
	}
	warnings, err := w.validate(old, o)
	var refusal apierrors.APIStatus
	switch {
	case errors.As(err, &refusal):
		status := refusal.Status()
		denied := admission.Denied("")
		denied.Result = &status
		return denied.WithWarnings(warnings...)
	case err != nil:
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.Allowed("").WithWarnings(warnings...)
}

// decode reads what is reviewed of an ApiKey.
func decode(raw []byte) (*v1alpha1.ApiKey, error) {
	var o struct {
		Metadata metadata
		Spec     struct {
			State     v1alpha1.KeyState
			ExpiresAt *metav1.Time
			Rotation  *v1alpha1.Rotation
			Secret    *struct {
				Key      string
				Template *v1alpha1.SecretTemplate
			}
		}
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	out := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Name: o.Metadata.Name, UID: o.Metadata.UID,
		DeletionTimestamp: o.Metadata.DeletionTimestamp}}
	out.Spec = v1alpha1.ApiKeySpec{State: o.Spec.State, ExpiresAt: o.Spec.ExpiresAt, Rotation: o.Spec.Rotation}
	if s := o.Spec.Secret; s != nil {
		out.Spec.Secret = &v1alpha1.SecretDelivery{Key: s.Key, Template: s.Template}
	}
	return out, nil
}

func (w *Webhook) validate(old, o *v1alpha1.ApiKey) (admission.Warnings, error) {
	if o.Spec.State == v1alpha1.KeyRevoked || !o.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	if invalid := invalidFields(old, o); len(invalid) > 0 {
		return nil, apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("ApiKey").GroupKind(), o.Name, invalid)
	}
	same := equality.Semantic.DeepEqual
	var warnings admission.Warnings
	if old.Spec.State == v1alpha1.KeySuspended && o.Spec.State == v1alpha1.KeyActive {
		warnings = append(warnings, "spec.state: the key was suspended and is Active again: its tokens are accepted. "+
			"Without spec.state a key is Active")
	}
	if !same(old.Spec.Rotation, o.Spec.Rotation) || !same(old.Spec.ExpiresAt, o.Spec.ExpiresAt) {
		warnings = append(warnings, w.warnAboutTimes(o)...)
	}
	return warnings, nil
}

// invalidFields returns the changed fields that cannot work.
func invalidFields(old, o *v1alpha1.ApiKey) field.ErrorList {
	var out field.ErrorList
	spec := field.NewPath("spec")
	if !equality.Semantic.DeepEqual(old.Spec.Rotation, o.Spec.Rotation) {
		if _, err := kube.Cadence(o); err != nil {
			out = append(out, field.Invalid(spec.Child("rotation"), field.OmitValueType{}, err.Error()))
		}
	}
	if !equality.Semantic.DeepEqual(old.Spec.Secret, o.Spec.Secret) {
		if problem := kube.TemplateFault(o); problem != "" {
			out = append(out, field.Invalid(spec.Child("secret", "template"), field.OmitValueType{}, problem))
		}
	}
	return out
}

// warnAboutTimes warns when the expiry, the rotation and the overlap do not fit together.
func (w *Webhook) warnAboutTimes(o *v1alpha1.ApiKey) (out admission.Warnings) {
	now, end := w.Now(), kube.Key(o).ExpiresAt
	if !end.IsZero() && !end.After(now) {
		return admission.Warnings{"spec.expiresAt has passed: no token is issued, and a delivered token is denied"}
	}
	cadence, err := kube.Cadence(o)
	if err != nil || cadence == (apikey.Cadence{}) {
		return nil
	}
	next := cadence.After(now)
	if !end.IsZero() && end.Before(next) {
		out = append(out, fmt.Sprintf("spec.expiresAt is before the next rotation (%s): the key expires without rotating",
			next.UTC().Format(time.RFC3339)))
	}
	if gap, overlap := cadence.After(next).Sub(next), kube.Overlap(o); gap > 0 && overlap > gap {
		out = append(out, fmt.Sprintf("spec.rotation.overlap (%v) is longer than the time between rotations (about %v): "+
			"several previous tokens are accepted at once, and rotations wait while there are three",
			overlap, gap.Round(time.Minute)))
	}
	return out
}
