// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys,verbs=get;list;create;update;patch;delete
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeys/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;list
// +kubebuilder:rbac:groups=auth.kaana.com,resources=apikeyroles;apikeyscopes;apikeyowners,verbs=grant

// Service creates, finds, changes and deletes keys on behalf of a caller. All exported fields are required.
type Service struct {
	Client  client.Client // straight to the API server, without a cache
	Tenants Tenants
	Format  apikey.Format
	Entropy io.Reader // cryptographically random
	Now     func() time.Time
	// Trail records every change. It may be nil in tests.
	Trail interface {
		Record(ctx context.Context, c activity.Change)
	}

	lists, changes accountLimit
}

// Tenants knows which Namespaces belong to a tenant.
type Tenants interface {
	// Projects returns the Namespaces of a tenant by name.
	Projects(tenant string) []authn.Project
}

// Issued is a key with the token that is shown once; the token is zero when it is delivered to a Secret.
type Issued struct {
	Key   *v1alpha1.ApiKey
	Token apikey.Token
	Shown bool
	// PreviousUntil is when the previous token ends, after a rotation; zero: there is none, or the controller decides.
	PreviousUntil time.Time
}

// Version names the spec of a key in one state: it changes with the spec, and not with what the operator records.
func Version(o *v1alpha1.ApiKey) string { return fmt.Sprintf("%.8s-%d", o.UID, o.Generation) }

// Get returns a key that the reader may see.
func (s *Service) Get(ctx context.Context, reader authn.Principal, project, name string) (*v1alpha1.ApiKey, error) {
	o, err := s.get(ctx, s.tenantCaller(reader), project, name)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// get returns a key that the caller may see.
func (s *Service) get(ctx context.Context, c Caller, project, name string) (*v1alpha1.ApiKey, error) {
	if !c.has(project) { // before anything is said of the key
		return nil, &Problem{Kind: Forbidden}
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 { // no ApiKey can have this name
		return nil, notFound(project, name)
	}
	o := &v1alpha1.ApiKey{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: project, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return nil, notFound(project, name)
	}
	if err != nil {
		return nil, translate("get", err)
	}
	if problem := Authorize(c, Read, o, nil); problem != nil {
		return nil, problem
	}
	return o, nil
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

// tenantCaller returns a caller with the projects of their tenant. It suffices to read.
func (s *Service) tenantCaller(p authn.Principal) Caller {
	c := Caller{Principal: p}
	for _, project := range s.Tenants.Projects(p.Tenant) {
		c.Projects = append(c.Projects, project.Name)
	}
	return c
}

// caller returns a caller with everything that limits them: also the key that they use, as it is now.
func (s *Service) caller(ctx context.Context, p authn.Principal) (Caller, error) {
	c := s.tenantCaller(p)
	if p.Key.Name == "" {
		return c, nil
	}
	self, err := s.Self(ctx, p)
	c.Key = self
	return c, err
}
