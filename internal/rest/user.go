// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/door"
	"github.com/kaana/apikey-operator/internal/manage"
)

// accountID is a door.AccountID with a schema.
type accountID string

// MarshalJSON implements json.Marshaler.
func (id accountID) MarshalJSON() ([]byte, error) { return door.AccountID(id).MarshalJSON() }

// Schema describes an accountID.
func (accountID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A number where every JSON reader keeps it exactly, else a string",
		OneOf:       []*huma.Schema{{Type: huma.TypeInteger, Format: "int64"}, {Type: huma.TypeString}},
	}
}

// User is the response of GET /api/user.
type User struct {
	ID       accountID `json:"id"`
	Username string    `json:"username" example:"you@example.com"`
	Role     string    `json:"role" enum:"viewer,member,admin"`
}

// NewUser returns a principal as a User.
func NewUser(p authn.Principal) User {
	return User{ID: accountID(p.ID()), Username: p.Username(), Role: p.Role.String()}
}

// projects is the response of GET /api/projects.
type projects struct {
	Items []authn.Project `json:"items"`
}

type projectInput struct {
	Project string `path:"project" maxLength:"63"`
}

// registerUser registers the operations on the caller and the caller's tenant.
func (a *API) registerUser(api huma.API) {
	huma.Register(api, operation("GET", "/api/user", "get-user", "Who am I?", "", authn.ReadUser), a.getUser)
	huma.Register(api, operation("GET", "/api/projects", "list-projects", "The projects of my tenant",
		"A project is a Namespace.", authn.ReadProjects), a.listProjects)
	huma.Register(api, operation("GET", "/api/projects/{project}", "get-project", "One project of my tenant",
		"Another tenant's is forbidden, whether it exists or not.", authn.ReadProjects), a.getProject)
}

func (a *API) getUser(ctx context.Context, _ *struct{}) (*answer[User], error) {
	return &answer[User]{NewUser(caller(ctx))}, nil
}

func (a *API) listProjects(ctx context.Context, _ *struct{}) (*answer[projects], error) {
	return &answer[projects]{projects{Items: a.Projects(caller(ctx).Tenant)}}, nil
}

func (a *API) getProject(ctx context.Context, in *projectInput) (*answer[authn.Project], error) {
	for _, project := range a.Projects(caller(ctx).Tenant) {
		if project.Name == in.Project {
			return &answer[authn.Project]{project}, nil
		}
	}
	return nil, a.failed(ctx, &manage.Problem{Kind: manage.Forbidden})
}
