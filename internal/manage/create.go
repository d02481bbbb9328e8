// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

// CreateRequest describes a key to create.
type CreateRequest struct {
	Project, Name, Description string
	Role                       v1alpha1.Role // empty: member, or viewer for a viewer
	Scopes                     []string      // empty: the author's, who may have no limit
	ExpiresAt                  time.Time     // zero: never
	AllowedCIDRs               []string      // empty: anywhere
	ToSecret                   bool          // deliver to a Secret instead of showing the token once
	SecretName                 string        // empty: the key's name
	Rotation                   *v1alpha1.Rotation
	Itself                     bool // the key is an account of its own, not its author's
	Idempotency                Idempotency
}

// Create creates a key.
func (s *Service) Create(ctx context.Context, author authn.Principal, in CreateRequest) (Issued, error) {
	c, err := s.changer(ctx, author, Create)
	if err != nil {
		return Issued{}, err
	}
	if !c.has(in.Project) { // before anything is said of the project
		return Issued{}, &Problem{Kind: Forbidden}
	}
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: in.Project, Name: in.Name}}
	if err := draft(author, in, o); err != nil {
		return Issued{}, err
	}
	if problem := Authorize(c, Create, nil, o); problem != nil {
		return Issued{}, problem
	}
	if err := sign(author, in, o); err != nil {
		return Issued{}, err
	}
	if again, err := s.replay(ctx, c, o, in.Idempotency.Seen); again.Key != nil || err != nil {
		return again, err
	}
	issued, err := s.write(ctx, author, o, !in.ToSecret)
	if apierrors.IsAlreadyExists(err) { // or the first attempt has just come through
		if again, err := s.replay(ctx, c, o, in.Idempotency.Seen); again.Key != nil || err != nil {
			return again, err
		}
	}
	return issued, translate("create", err)
}

// write creates the ApiKey, with a token to show or without.
func (s *Service) write(ctx context.Context, author authn.Principal, o *v1alpha1.ApiKey, shown bool) (Issued, error) {
	issued := Issued{Key: o, Shown: shown}
	if shown {
		var err error
		if issued.Token, err = s.Format.Mint(s.Entropy); err != nil {
			return Issued{}, err
		}
		o.Spec.Digests = []v1alpha1.Digest{digest(issued.Token)}
	}
	err := s.Client.Create(ctx, o)
	s.record(ctx, author, Create, nil, o, translate("create", err))
	if err == nil && shown {
		s.claim(ctx, o, issued.Token)
	}
	return issued, err
}

// draft fills in the ApiKey that is requested, without its token.
func draft(author authn.Principal, in CreateRequest, o *v1alpha1.ApiKey) error {
	if problems := validation.IsDNS1123Label(in.Name); len(problems) > 0 {
		return invalid("name", "want 1 to 63 lower-case letters, digits and dashes, with a letter or digit at both ends")
	}
	o.Spec = v1alpha1.ApiKeySpec{Description: in.Description, State: v1alpha1.KeyActive, Role: in.Role,
		ExpiresAt: kube.TimePointer(in.ExpiresAt), Rotation: in.Rotation}
	if o.Spec.Role == "" {
		o.Spec.Role = v1alpha1.Role(min(author.Role, authn.Member).String())
	}
	if len(in.Scopes) == 0 && author.Scopes != authn.NoScopes {
		in.Scopes = strings.Fields(string(author.Scopes)) // all that the author has
	}
	o.Spec.Scopes, o.Spec.AllowedCIDRs = listOf[v1alpha1.Scope](in.Scopes), listOf[v1alpha1.CIDR](in.AllowedCIDRs)
	if in.ToSecret {
		o.Spec.Secret = &v1alpha1.SecretDelivery{Name: in.SecretName}
	}
	return setOwner(author, in.Itself, o)
}

// setOwner decides for which account the key acts.
func setOwner(author authn.Principal, itself bool, o *v1alpha1.ApiKey) error {
	switch {
	case !itself && author.Account.ID == "":
		return invalid("actsFor", "you use a key without an account: only a key of role admin may create others, "+
			"and these act for themselves: set itself")
	case !itself:
		o.Spec.Owner = &v1alpha1.Owner{ID: author.Account.ID, Username: author.Account.Username}
	case author.Role < authn.Admin:
		return invalid("actsFor", "only an admin may create a key that acts for itself")
	}
	return nil
}

func listOf[T ~string](in []string) (out []T) {
	for _, s := range in {
		out = append(out, T(s))
	}
	return out
}

func digest(t apikey.Token) v1alpha1.Digest {
	return v1alpha1.Digest{SHA256: t.Digest().String(), Hint: t.Hint()}
}
