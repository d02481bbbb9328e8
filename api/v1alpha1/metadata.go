// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Labels and annotations that the operator reads or writes. Those of this group that are not listed here have no meaning.
const (
	// TenantLabel on a Namespace names the tenant it belongs to.
	TenantLabel = "auth.kaana.com/tenant"
	// CredentialLabel on a delivered Secret is the id of the credential in it. The controller watches Secrets that have it.
	CredentialLabel = "auth.kaana.com/credential" //nolint:gosec // the name of a label
	// RotateAnnotation on an ApiKey requests a rotation, by any value that differs from the last two.
	RotateAnnotation = "auth.kaana.com/rotate-requested-at"
	// RequestedByAnnotation on an ApiKey is the Kubernetes user who created it. The admission webhook writes it, once.
	RequestedByAnnotation = "auth.kaana.com/requested-by"
	// SuspendedByAnnotation on an ApiKey is the id of the account that suspended it over REST or on the page.
	SuspendedByAnnotation = "auth.kaana.com/suspended-by"
	// RequestLabel on an ApiKey is a digest of the Idempotency-Key of the request that created it, within its account.
	RequestLabel = "auth.kaana.com/request"
	// RequestDigestAnnotation on an ApiKey is the SHA-256 of the body of the request that created it.
	RequestDigestAnnotation = "auth.kaana.com/request-sha256"
	// RotationRequestAnnotation on an ApiKey names the last rotation that had an Idempotency-Key, and the credential that
	// it made.
	RotationRequestAnnotation = "auth.kaana.com/rotation-request"
	// RefreshedAnnotation on a Pod is the id of the credential that its mounted Secret shows. Changing it makes the
	// kubelet read the Pod's volumes again.
	RefreshedAnnotation = "auth.kaana.com/refreshed"
	// TemplatedAnnotation on a Secret lists the labels and annotations that spec.secret.template added, so that they go
	// when the template loses them.
	TemplatedAnnotation = "auth.kaana.com/templated"
)
