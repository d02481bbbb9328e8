// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

func TestARefusalRepeatsNothingThatAWebhookChooses(t *testing.T) {
	const token = "kaana_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	for shift := range 3 {
		echo := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + token))
		err := error(&apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: 403, Reason: metav1.StatusReason(echo), Message: token + " " + echo,
			Details: &metav1.StatusDetails{Name: echo, Causes: []metav1.StatusCause{
				{Type: metav1.CauseType(echo), Message: token, Field: "data[" + echo + "]"}, {Field: echo},
				{Type: corev1.NamespaceTerminatingCause},
			}},
		}})
		got := kube.Withhold(fmt.Errorf("write: %w", err))
		all, _ := json.Marshal(got)
		if text := string(all); !strings.Contains(text, "403") || strings.Contains(text, echo[4:12]) || strings.Contains(text, token[8:]) {
			t.Errorf("shift %d: %s", shift, text)
		}
		if want := "the API server answered 403 Forbidden (data)"; got.Error() != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if !apierrors.IsForbidden(got) || !apierrors.HasStatusCause(got, corev1.NamespaceTerminatingCause) {
			t.Errorf("what the controller decides by is lost: %#v", got)
		}
	}
	if err := errors.New("dial tcp: connection refused"); !errors.Is(kube.Withhold(err), err) {
		t.Error("an error without an answer is withheld")
	}
}
