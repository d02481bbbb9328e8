// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"context"
	"crypto/rsa"
	"errors"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

type audienceKey struct{}

// request is one sign-in, and afterwards the grant that came of it.
type request struct {
	id, audience string
	asked        oidc.AuthRequest
	account      Account
	done         bool
	at           time.Time
	forAPI       bool // the next audience asked for is that of an access token
}

func (r *request) GetID() string      { return r.id }
func (*request) GetACR() string       { return "" }
func (*request) GetAMR() []string     { return nil }
func (r *request) GetSubject() string { return r.account.Subject }
func (r *request) Done() bool         { return r.done }

// GetAudience returns the API's audience for an access token and the client for an ID token, as
// Auth0 does; the library asks the same question for both.
func (r *request) GetAudience() []string {
	if r.forAPI && r.audience != "" {
		r.forAPI = false
		return []string{r.audience}
	}
	return []string{r.asked.ClientID}
}

func (r *request) GetAuthTime() time.Time { return r.at }
func (r *request) GetClientID() string    { return r.asked.ClientID }

func (r *request) GetCodeChallenge() *oidc.CodeChallenge {
	if r.asked.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.asked.CodeChallenge, Method: r.asked.CodeChallengeMethod}
}

func (r *request) GetNonce() string                   { return r.asked.Nonce }
func (r *request) GetRedirectURI() string             { return r.asked.RedirectURI }
func (r *request) GetResponseType() oidc.ResponseType { return r.asked.ResponseType }
func (r *request) GetResponseMode() oidc.ResponseMode { return r.asked.ResponseMode }
func (r *request) GetScopes() []string                { return r.asked.Scopes }
func (r *request) GetState() string                   { return r.asked.State }
func (r *request) SetCurrentScopes(scopes []string)   { r.asked.Scopes = scopes }

// signingKey is one key of the issuer.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (*signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *signingKey) Key() any                                  { return k.key }
func (k *signingKey) ID() string                                { return k.id }

type publicKey struct{ *signingKey }

func (publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                         { return k.key.Public() }

// application is the one client.
type application struct{ redirects []string }

func (application) GetID() string                       { return ClientID }
func (a application) RedirectURIs() []string            { return a.redirects }
func (a application) PostLogoutRedirectURIs() []string  { return a.redirects }
func (application) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (application) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (application) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (application) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}
func (application) LoginURL(id string) string            { return "/login?id=" + id }
func (application) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (application) IDTokenLifetime() time.Duration       { return tokenLifetime }
func (application) DevMode() bool                        { return true }
func (application) IsScopeAllowed(string) bool           { return true }
func (application) IDTokenUserinfoClaimsAssertion() bool { return true }
func (application) ClockSkew() time.Duration             { return 0 }

func (application) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:revive,staticcheck // its name
	return func(s []string) []string { return s }
}

func (application) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

// storage implements op.Storage in memory.
type storage Issuer

func (s *storage) CreateAuthRequest(ctx context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	audience, _ := ctx.Value(audienceKey{}).(string)
	r := &request{id: random(), audience: audience, asked: *asked, at: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.id] = r
	return r, nil
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.requests[id]; r != nil {
		return r, nil
	}
	return nil, errUnknown
}

func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id := s.codes[code]
	delete(s.codes, code)
	s.mu.Unlock()
	return s.AuthRequestByID(ctx, id)
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

func (*storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	if r, ok := r.(*request); ok {
		r.forAPI = true
	}
	return random(), time.Now().Add(tokenLifetime), nil
}

func (s *storage) CreateAccessAndRefreshTokens(
	ctx context.Context,
	r op.TokenRequest,
	current string,
) (string, string, time.Time, error) {
	id, end, err := s.CreateAccessToken(ctx, r)
	grant, ok := r.(*request)
	if err != nil || !ok {
		return "", "", end, errors.Join(err, errUnknown)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refresh, current) // each is good once
	next := random()
	s.refresh[next] = grant
	return id, next, end, nil
}

func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.refresh[token]; r != nil {
		return r, nil
	}
	return nil, op.ErrInvalidRefreshToken
}

func (s *storage) TerminateSession(_ context.Context, subject, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, r := range s.refresh {
		if r.account.Subject == subject {
			delete(s.refresh, token)
		}
	}
	return nil
}

func (s *storage) RevokeToken(_ context.Context, token, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refresh, token)
	return nil
}

func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.refresh[token]; r != nil {
		return r.account.Subject, token, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[0], nil
}

func (*storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]op.Key, 0, len(s.keys))
	for _, k := range s.keys {
		out = append(out, publicKey{k})
	}
	return out, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != ClientID {
		return nil, errors.New("no such client")
	}
	return application{s.redirects}, nil
}

func (*storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != ClientID || secret != ClientSecret {
		return errors.New("no such client")
	}
	return nil
}

// GetPrivateClaimsFromScopes returns what Auth0, and an Action of it, would put into an access token: also the scopes
// that were asked for, those of OpenID Connect among them.
func (*storage) GetPrivateClaimsFromScopes(
	_ context.Context,
	subject, _ string,
	scopes []string,
) (map[string]any, error) {
	a, err := account(subject)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{Namespace + "email": a.Email, Namespace + "role": a.Role, Namespace + "tenant": a.Tenant,
		"scope": strings.Join(append([]string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}, scopes...), " ")}
	if a.Permissions != nil {
		claims["permissions"] = a.Permissions
	}
	return claims, nil
}

// SetUserinfoFromRequest puts the same into an ID token.
func (*storage) SetUserinfoFromRequest(
	_ context.Context,
	info *oidc.UserInfo,
	r op.IDTokenRequest,
	_ []string,
) error {
	a, err := account(r.GetSubject())
	if err != nil {
		return err
	}
	describe(info, a)
	return nil
}

func (*storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, _, subject, _ string) error {
	a, err := account(subject)
	if err != nil {
		return err
	}
	describe(info, a)
	return nil
}

func describe(info *oidc.UserInfo, a Account) {
	info.Subject, info.Email, info.EmailVerified = a.Subject, a.Email, true
	info.AppendClaims(Namespace+"role", a.Role)
	info.AppendClaims(Namespace+"tenant", a.Tenant)
}

func (*storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (*storage) SetIntrospectionFromToken(
	context.Context,
	*oidc.IntrospectionResponse,
	string,
	string,
	string,
) error {
	return errors.New("not offered")
}

func (*storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errors.New("not offered")
}

func (*storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errors.New("not offered")
}

func (*storage) Health(context.Context) error { return nil }
