// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// Trace is a change of an ApiKey that the object itself shows.
type Trace struct {
	At        time.Time
	Operation string // create or change; or issue: the controller has issued a token
	Author    string // as Kubernetes names them; empty: not recorded
	Tool      string // the field manager that Kubernetes recorded; empty: none
}

// ourManager is the field manager of both processes, from the name of their program.
const ourManager = "apikey-operator"

// isServer reports whether an author is the account of the server.
func isServer(author string) bool {
	return strings.HasPrefix(author, "system:serviceaccount:") && strings.HasSuffix(author, ":apikey-operator-server")
}

// Traces returns what the object itself shows of its changes by kubectl, Git and the controller, the latest first.
// Kubernetes keeps the last change of each tool, and not who made it. The author of the object is known if the
// admission webhook was running. Changes by the server are not among them: the audit trail has those.
func Traces(o *v1alpha1.ApiKey) []Trace {
	out := written(o)
	if !Imported(o) {
		for _, c := range Recorded(o) {
			out = append(out, Trace{At: c.IssuedAt, Operation: "issue"})
		}
	}
	slices.SortStableFunc(out, func(a, b Trace) int { return b.At.Compare(a.At) })
	return out
}

// written returns who created o and which tools changed it, except the server.
func written(o *v1alpha1.ApiKey) (out []Trace) {
	create := Trace{
		At: o.CreationTimestamp.Time, Operation: "create", Author: o.Annotations[v1alpha1.RequestedByAnnotation],
	}
	byServer, ours := isServer(create.Author), false
	for _, t := range tools(o) {
		switch {
		case t.Tool == ourManager:
			ours = true
		case t.At.Equal(create.At) && !byServer:
			create.Tool = t.Tool
		default:
			out = append(out, t)
		}
	}
	if byServer || ours && create.Author == "" && create.Tool == "" { // the server created it, or may have
		return out
	}
	return append(out, create)
}

// tools returns the last change of o by each tool, except those of the status.
func tools(o *v1alpha1.ApiKey) (out []Trace) {
	for _, f := range o.ManagedFields {
		if f.Subresource == "" && f.Time != nil {
			out = append(out, Trace{At: f.Time.Time, Operation: "change", Tool: f.Manager})
		}
	}
	return out
}
