// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kind is what is wrong with what somebody asked for.
type Kind uint8

// The kinds.
const (
	Forbidden Kind = iota + 1 // they may not; also for what may not even exist
	NotFound                  // within what is theirs
	Conflict                  // with what there is
	Stale                     // it has changed since they looked
	Invalid                   // some fields cannot be as they are
	Expired                   // the cursor is too old
)

// Problem is a reasoned no to what somebody asked for. Any other error means that it could not be
// done now.
type Problem struct { //nolint:errname // reads keys.Problem
	Kind    Kind
	Message string // empty: what is always said of the kind
	Fields  []Field
}

// ErrDone is the problem of a request that was done already, when its answer was seen and must stay true.
var ErrDone = &Problem{Kind: Conflict, Message: "This was done already"}

// Field is one field that cannot be as it is.
type Field struct{ Path, Message string }

// Error implements error.
func (p *Problem) Error() string {
	text := p.Message
	for _, f := range p.Fields {
		text += fmt.Sprintf("; %s: %s", f.Path, f.Message)
	}
	return strings.TrimPrefix(text, "; ")
}

func forbidden() error { return &Problem{Kind: Forbidden} }

func notFound(project, name string) error {
	return &Problem{Kind: NotFound, Message: fmt.Sprintf("There is no key %s in project %s that you could see", name, project)}
}

func invalid(path, format string, args ...any) *Problem {
	return &Problem{Kind: Invalid, Fields: []Field{{path, fmt.Sprintf(format, args...)}}}
}

// translate puts an answer of the API server into our words.
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

// refused says which fields the API server refuses.
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

// public names a field of the ApiKey as people who create keys know it.
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
