// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys,verbs=get;list;create;update;patch;delete
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;list
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeyroles;apikeyscopes;apikeyowners,verbs=grant

// Service is where people do things with keys. All fields are required.
type Service struct {
	Client  client.Client // straight to the API server, without a cache
	Tenants Tenants
	Format  apikey.Format
	Entropy io.Reader // cryptographically random
	Now     func() time.Time
}

// Tenants says which Namespaces are whose.
type Tenants interface {
	// Projects returns the Namespaces of a tenant by name.
	Projects(tenant string) []authn.Project
}

// New is what somebody says of a key that they create.
type CreateRequest struct {
	Project, Name, Description string
	Role                       v1alpha1.Role // empty: member, or viewer for a viewer
	Scopes                     []string      // empty: the author's, who may have no limit
	ExpiresAt                  time.Time     // zero: never
	AllowedCIDRs               []string      // empty: anywhere
	ToSecret                   bool          // deliver to a Secret in place of showing the token once
	SecretName                 string        // empty: the key's name
	Rotation                   *v1alpha1.Rotation
	Itself                     bool // the key is an account of its own, not its author's
	Idempotency                Idempotency
}

// Idempotency names a request, so that a repeat is not done twice.
type Idempotency struct {
	Name string // empty: it has none
	// Seen says that the answer was seen for sure, as that to a form: a repeat is ErrDone. Otherwise it may have been
	// lost, and a repeat is answered with a new token in its place.
	Seen bool
}

// Issued is a key with the token that is shown this once; the token is zero when it is delivered to a
// Secret.
type Issued struct {
	Key   *v1alpha1.ApiKey
	Token apikey.Token
	Shown bool
	// PreviousUntil is when the former token ends, after a rotation; zero: there is none, or the controller
	// decides.
	PreviousUntil time.Time
}

// Create makes a key.
func (s *Service) Create(ctx context.Context, author authn.Principal, in CreateRequest) (Issued, error) {
	if !s.theirs(author, in.Project) {
		return Issued{}, forbidden()
	}
	o, err := draft(author, in)
	if err != nil {
		return Issued{}, err
	}
	if err := s.within(ctx, author, o); err != nil {
		return Issued{}, err
	}
	if err := s.sign(author, in, o); err != nil {
		return Issued{}, err
	}
	if again, err := s.repeated(ctx, o, in.Idempotency.Seen); again.Key != nil || err != nil {
		return again, err
	}
	made, err := s.write(ctx, o, !in.ToSecret)
	if apierrors.IsAlreadyExists(err) { // or the first attempt has just come through
		if again, err := s.repeated(ctx, o, in.Idempotency.Seen); again.Key != nil || err != nil {
			return again, err
		}
	}
	return made, translate("create", err)
}

// write makes the ApiKey, with a token to show or without.
func (s *Service) write(ctx context.Context, o *v1alpha1.ApiKey, shown bool) (Issued, error) {
	made := Issued{Key: o, Shown: shown}
	if shown {
		var err error
		if made.Token, err = s.Format.Mint(s.Entropy); err != nil {
			return Issued{}, err
		}
		o.Spec.Digests = []v1alpha1.Digest{digest(made.Token)}
	}
	return made, s.Client.Create(ctx, o)
}

// draft returns the ApiKey that is asked for, without its token.
func draft(author authn.Principal, in CreateRequest) (*v1alpha1.ApiKey, error) {
	if problems := validation.IsDNS1123Label(in.Name); len(problems) > 0 {
		return nil, invalid("name", "want 1 to 63 lower-case letters, digits and dashes, with a letter or digit at both ends")
	}
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: in.Project, Name: in.Name}}
	o.Spec = v1alpha1.ApiKeySpec{Description: in.Description, State: v1alpha1.KeyActive, Role: in.Role, ExpiresAt: kube.TimePointer(in.ExpiresAt), Rotation: in.Rotation}
	if o.Spec.Role == "" {
		o.Spec.Role = v1alpha1.Role(min(author.Role, authn.Member).String())
	}
	if len(in.Scopes) == 0 && author.Scopes != authn.NoScopes {
		in.Scopes = strings.Fields(string(author.Scopes)) // all that they may
	}
	o.Spec.Scopes, o.Spec.AllowedCIDRs = listOf[v1alpha1.Scope](in.Scopes), listOf[v1alpha1.CIDR](in.AllowedCIDRs)
	if in.ToSecret {
		o.Spec.Secret = &v1alpha1.SecretDelivery{Name: in.SecretName}
	}
	return o, act(author, in.Itself, o)
}

func listOf[T ~string](in []string) (out []T) {
	for _, s := range in {
		out = append(out, T(s))
	}
	return out
}

// act decides for which account the key acts.
func act(author authn.Principal, itself bool, o *v1alpha1.ApiKey) error {
	switch {
	case !itself && author.Account.ID == "":
		return invalid("actsFor", "you are a key without an account: only a key of role admin may create others, and these act for themselves: give itself")
	case !itself:
		o.Spec.Owner = &v1alpha1.Owner{ID: author.Account.ID, Username: author.Account.Username}
	case author.Role < authn.Admin:
		return invalid("actsFor", "only an admin may create a key that acts for itself")
	}
	return nil
}

// Version names what people have written of a key: it changes with the spec, and not with what the
// operator records.
func Version(o *v1alpha1.ApiKey) string { return fmt.Sprintf("%.8s-%d", o.UID, o.Generation) }

func digest(t apikey.Token) v1alpha1.Digest {
	return v1alpha1.Digest{SHA256: t.Digest().String(), Hint: t.Hint()}
}

// Get returns a key that its reader may see.
func (s *Service) Get(ctx context.Context, reader authn.Principal, project, name string) (*v1alpha1.ApiKey, error) {
	if !s.theirs(reader, project) {
		return nil, forbidden()
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 { // no ApiKey can have it
		return nil, notFound(project, name)
	}
	var o v1alpha1.ApiKey
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: project, Name: name}, &o)
	if apierrors.IsNotFound(err) || err == nil && !owns(reader, &o) {
		return nil, notFound(project, name)
	}
	return &o, translate("get", err)
}

// Self returns the key that a request was made with.
func (s *Service) Self(ctx context.Context, p authn.Principal) (*v1alpha1.ApiKey, error) {
	if p.Key.Name == "" {
		return nil, &Problem{Kind: NotFound, Message: "This request was not made with an API key"}
	}
	var o v1alpha1.ApiKey
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: p.Key.Namespace, Name: p.Key.Name}, &o)
	if apierrors.IsNotFound(err) {
		return nil, notFound(p.Key.Namespace, p.Key.Name)
	}
	return &o, translate("get", err)
}

// theirs reports whether a project belongs to somebody's tenant.
func (s *Service) theirs(p authn.Principal, project string) bool {
	return p.Tenant != "" && slices.ContainsFunc(s.Tenants.Projects(p.Tenant), func(q authn.Project) bool { return q.Name == project })
}

// owns reports whether a key of somebody's tenant is theirs: an admin's all are, others' those of their
// account, and a key that is an account of its own is its own.
func owns(p authn.Principal, o *v1alpha1.ApiKey) bool {
	switch {
	case p.Role == authn.Admin:
		return true
	case o.Spec.Owner == nil:
		return p.Account.ID == "" && p.Key.Namespace == o.Namespace && p.Key.Name == o.Name
	}
	return p.Account.ID != "" && o.Spec.Owner.ID == p.Account.ID
}

// within refuses a key that exceeds its author: in role, in scopes and, when the author is a key
// itself, in time and networks.
func (s *Service) within(ctx context.Context, author authn.Principal, o *v1alpha1.ApiKey) error {
	var fields []Field
	if authn.ParseRole(string(o.Spec.Role)) > author.Role {
		fields = append(fields, Field{"role", "exceeds yours, which is " + author.Role.String()})
	}
	if author.Scopes != "" {
		if len(o.Spec.Scopes) == 0 {
			fields = append(fields, Field{"scopes", "give some: without, the key could do more than you, who are limited to " + string(author.Scopes)})
		}
		for _, s := range o.Spec.Scopes {
			if !author.Scopes.Has(string(s)) {
				fields = append(fields, Field{"scopes", string(s) + " is not among yours: " + string(author.Scopes)})
			}
		}
	}
	if author.Key.Name != "" {
		self, err := s.Self(ctx, author)
		if err != nil {
			return err
		}
		fields = append(fields, outlives(self, o)...)
	}
	if len(fields) > 0 {
		return &Problem{Kind: Forbidden, Message: "A key cannot do more than who makes it", Fields: fields}
	}
	return nil
}

// outlives says in what a key exceeds another in time and networks.
func outlives(author, o *v1alpha1.ApiKey) (out []Field) {
	theirs, ours := kube.Key(author), kube.Key(o)
	if end := theirs.ExpiresAt; !end.IsZero() && (ours.ExpiresAt.IsZero() || ours.ExpiresAt.After(end)) {
		out = append(out, Field{"expiresAt", "is after the key that you use expires: " + end.UTC().Format(time.RFC3339)})
	}
	if theirs.Networks == nil {
		return out
	}
	covered := ours.Networks != nil
	for _, n := range ours.Networks {
		covered = covered && slices.ContainsFunc(theirs.Networks, func(by netip.Prefix) bool {
			return by.Bits() <= n.Bits() && by.Contains(n.Addr())
		})
	}
	if !covered {
		names := make([]string, 0, len(theirs.Networks))
		for _, n := range theirs.Networks {
			names = append(names, n.String())
		}
		out = append(out, Field{"allowedCIDRs", "give networks within those of the key that you use: " + strings.Join(names, ", ")})
	}
	return out
}
