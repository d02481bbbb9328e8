// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Withhold returns the error of writing a Secret without anything that the answer says in words: its code, and the
// fields of a Secret that it names. A webhook chooses its message, reason and causes, and could repeat a token or a
// private key there in any encoding. What apierrors tells errors apart by remains.
func Withhold(err error) error {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return err // no answer: what failed is the request
	}
	status := answer.Status()
	text := fmt.Sprintf("the API server answered %d %s", status.Code, http.StatusText(int(status.Code)))
	kept := metav1.Status{Status: metav1.StatusFailure, Code: status.Code}
	if slices.Contains(reasons, status.Reason) {
		kept.Reason = status.Reason
	}
	if status.Details != nil {
		kept.Details = &metav1.StatusDetails{RetryAfterSeconds: status.Details.RetryAfterSeconds}
		var fields []string
		for _, c := range status.Details.Causes {
			if c.Type == corev1.NamespaceTerminatingCause {
				kept.Details.Causes = []metav1.StatusCause{{Type: c.Type}}
			}
			if field := secretField(c.Field); field != "" && !slices.Contains(fields, field) {
				fields = append(fields, field)
			}
		}
		if len(fields) > 0 {
			text += " (" + strings.Join(fields, ", ") + ")"
		}
	}
	kept.Message = text
	return &apierrors.StatusError{ErrStatus: kept}
}

// reasons are those that Kubernetes defines for a write. Of another the code says enough.
var reasons = []metav1.StatusReason{
	metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest,
	metav1.StatusReasonConflict, metav1.StatusReasonAlreadyExists, metav1.StatusReasonNotFound,
	metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonRequestEntityTooLarge,
	metav1.StatusReasonTooManyRequests, metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout,
	metav1.StatusReasonInternalError, metav1.StatusReasonServiceUnavailable, metav1.StatusReasonUnauthorized,
}

// secretField returns the field of a Secret that a path is in, or "".
func secretField(path string) string {
	for _, field := range []string{"metadata.labels", "metadata.annotations", "metadata", "data", "type", "immutable"} {
		if path == field || strings.HasPrefix(path, field+"[") || strings.HasPrefix(path, field+".") {
			return field
		}
	}
	return ""
}
