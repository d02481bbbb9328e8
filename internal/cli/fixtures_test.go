// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

var update = flag.Bool("update", false, "write testdata/*.golden instead of comparing with it")

// clock is the time of all tests.
var clock = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: clock.Add(d)} }

// session collects what commands print, for one golden file.
type session struct {
	t    *testing.T
	text strings.Builder
}

// golden compares what the session has printed with testdata.
func (s *session) golden(name string) {
	s.t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(s.text.String()), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := s.text.String(); got != string(want) {
		s.t.Errorf("%s differs; if that is intended, run go test ./internal/cli -update\n%s", path,
			firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(a), len(b))
}

// run runs a command on a cluster, and records what it prints under a title. It must not print its standard input.
func (s *session) run(title string, k8s client.Client, stdin string, args ...string) (code int) {
	s.t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut}
	c := &cli{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true),
		now: func() time.Time { return clock }, entropy: bytes.NewReader(bytes.Repeat([]byte{9}, 32))}
	c.connect = func() (client.Client, string, error) {
		namespace := "acme-dev"
		if *c.flags.Namespace != "" {
			namespace = *c.flags.Namespace
		}
		return k8s, namespace, nil
	}
	code = c.run(s.t.Context(), args, "v0.0.0-test")
	if title != "" {
		s.text.WriteString("# " + title + "\n")
	}
	_, _ = fmt.Fprintf(&s.text, "$ kubectl apikey %s\n%s%s", strings.Join(args, " "), &out, &errOut)
	if code != 0 {
		_, _ = fmt.Fprintf(&s.text, "exit code %d\n", code)
	}
	s.text.WriteString("\n")
	if stdin != "" && strings.Contains(out.String()+errOut.String(), strings.TrimSpace(stdin)) {
		s.t.Errorf("%s: the token is shown", title)
	}
	return code
}

// world returns a cluster with these objects, and the Namespaces of two tenants.
func world(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	types, err := scheme()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme-dev", "globex"} {
		ns := &corev1.Namespace{}
		ns.Name, ns.Labels = name, map[string]string{v1alpha1.TenantLabel: strings.TrimSuffix(name, "-dev")}
		objects = append(objects, ns)
	}
	byUID := func(o client.Object) []string { return []string{string(o.(*eventsv1.Event).Regarding.UID)} }
	return fake.NewClientBuilder().WithScheme(types).WithObjects(objects...).
		WithIndex(&eventsv1.Event{}, "regarding.uid", byUID).Build()
}

// mint returns a token that is the same in every run.
func mint(t *testing.T, seed byte) string {
	t.Helper()
	token, err := tokenFormat(t).Mint(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

// delivered returns a key whose token is in its Secret, changed by the functions.
func delivered(name, token string, change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	digest := apikey.DigestOf(token)
	o := &v1alpha1.ApiKey{}
	o.Namespace, o.Name, o.UID, o.Generation = "acme-dev", name, types.UID(name), 1
	o.CreationTimestamp = *at(-48 * time.Hour)
	o.Spec.State, o.Spec.Role = v1alpha1.KeyActive, v1alpha1.RoleMember
	o.Status.ObservedGeneration, o.Status.SecretName = 1, name
	o.Status.Credentials = []v1alpha1.Credential{{ID: digest.ID(), SHA256: digest.String(), Hint: token[len(token)-4:],
		Phase: v1alpha1.CredentialCurrent, IssuedAt: *at(-48 * time.Hour)}}
	setCondition(o, v1alpha1.ConditionReady, true, v1alpha1.ReasonIssued)
	setCondition(o, v1alpha1.ConditionAccepted, true, v1alpha1.ReasonAccepted)
	for _, f := range change {
		f(o)
	}
	return o
}

// imported returns a key whose token the operator never had.
func imported(name, token string) *v1alpha1.ApiKey {
	return delivered(name, token, func(o *v1alpha1.ApiKey) {
		o.Spec.Digests = []v1alpha1.Digest{{SHA256: apikey.DigestOf(token).String(), Hint: "…" + token[len(token)-4:]}}
		o.Status.Credentials, o.Status.SecretName = nil, ""
	})
}

func setCondition(o *v1alpha1.ApiKey, kind string, is bool, reason string) {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&o.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason,
		ObservedGeneration: o.Generation, Message: "The message of " + reason + ".", LastTransitionTime: *at(-time.Hour)})
}

// compactJWT returns an unverifiable JWT with that payload.
func compactJWT(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}
