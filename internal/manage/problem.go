// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kind is the kind of a Problem.
type Kind uint8

// The kinds.
const (
	Forbidden Kind = iota + 1 // the caller may not; also for what may not even exist
	NotFound                  // among what the caller may see
	Conflict                  // with the present state
	Stale                     // it has changed since the caller read it
	Invalid                   // some fields have values that are not possible
	Expired                   // the cursor is too old
	Busy                      // the caller causes too much work: try again later
)

// Problem is a reasoned refusal of a request. Any other error means that it could not be done now.
type Problem struct { //nolint:errname // reads manage.Problem
	Kind    Kind
	Message string // empty: the standard message of the kind
	Fields  []Field
}

// ErrDone is the problem of a request that was done already, when the client has its response and that must stay true.
var ErrDone = &Problem{Kind: Conflict, Message: "This was done already"}

// Field is one field with a value that is not possible.
type Field struct{ Path, Message string }

// Error implements error.
func (p *Problem) Error() string {
	text := p.Message
	for _, f := range p.Fields {
		text += fmt.Sprintf("; %s: %s", f.Path, f.Message)
	}
	return strings.TrimPrefix(text, "; ")
}

func notFound(project, name string) *Problem {
	return &Problem{
		Kind:    NotFound,
		Message: fmt.Sprintf("There is no key %s in project %s that you may see", name, project),
	}
}

func invalid(path, format string, args ...any) *Problem {
	return &Problem{Kind: Invalid, Fields: []Field{{path, fmt.Sprintf(format, args...)}}}
}

// translate converts an API server error into a Problem.
func translate(verb string, err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err) && errors.As(err, &status):
		return refused(status.Status())
	case apierrors.IsAlreadyExists(err):
		return &Problem{Kind: Conflict, Message: "A key of this name exists in the project: choose another name"}
	case apierrors.IsConflict(err):
		return &Problem{Kind: Conflict, Message: "The key is being changed by others: try again"}
	case apierrors.IsForbidden(err) && errors.As(err, &status) && quota(status.Status()):
		return &Problem{Kind: Conflict, Message: "The project has as many keys as its quota allows"}
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return &Problem{Kind: Conflict, Message: "The project is being deleted"}
	}
	return fmt.Errorf("%s ApiKey: %w", verb, err)
}

// refused returns which fields the API server refuses.
func refused(s metav1.Status) *Problem {
	p := &Problem{Kind: Invalid}
	if s.Details != nil {
		for _, c := range s.Details.Causes {
			p.Fields = append(p.Fields, Field{public(c.Field), c.Message})
		}
	}
	if len(p.Fields) == 0 {
		p.Message = "The cluster refuses the key as it is"
	}
	return p
}

func quota(s metav1.Status) bool { return strings.Contains(s.Message, "exceeded quota") }

// public names a field of the ApiKey as the REST API and the page name it.
func public(path string) string {
	path = strings.TrimPrefix(path, "spec.")
	switch path {
	case "metadata.name":
		return "name"
	case "secret.name":
		return "secretName"
	}
	return path
}
