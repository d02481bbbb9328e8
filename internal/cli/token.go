// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/keyring"
)

// piped reports whether standard input is not a terminal.
func (c *cli) piped() bool {
	f, ok := c.In.(*os.File)
	return !ok || !term.IsTerminal(int(f.Fd()))
}

// readToken reads a token from standard input. At a terminal it is not echoed.
func (c *cli) readToken() (string, error) {
	var text []byte
	var err error
	if c.piped() {
		text, err = io.ReadAll(io.LimitReader(c.In, 2*apikey.MaxTokenBytes))
	} else {
		_, _ = fmt.Fprint(c.ErrOut, "Token (it is not shown): ")
		text, err = term.ReadPassword(int(os.Stdin.Fd()))
		_, _ = fmt.Fprintln(c.ErrOut)
	}
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", exit{exitUsage, errors.New("give the token on standard input, for example: kubectl apikey verify < token-file")}
	}
	return token, nil
}

// fromInput refuses arguments without repeating them: they may be tokens.
func fromInput(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return errors.New("it takes no argument: give the token on standard input, like " + cmd.CommandPath() +
		" < token-file; if an argument was a token, others may have seen it, and the shell remembers it: rotate it")
}

// asked are the flags of verify and explain.
type asked struct {
	door
	from   string
	role   string
	scopes []string
	json   bool
}

func (a *asked) add(cmd *cobra.Command) {
	a.door.add(cmd)
	cmd.Flags().StringVar(&a.from, "from", "", "address that the token is presented from, for keys with allowedCIDRs")
	cmd.Flags().StringVar(&a.role, "role", "", "want this role or more")
	cmd.Flags().StringSliceVar(&a.scopes, "scope", nil, "want this scope; may be given again")
}

func (c *cli) verify() *cobra.Command {
	var a asked
	var format string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Say whether a token is accepted, and whose it is; the token is read from standard input",
		Long: `Say whether a token is accepted, and whose it is. The token is read from standard input, or typed without being shown; it is hashed here,
and only its SHA-256 is compared with what the cluster has. With --server-url the server is asked in its place, which also knows JWTs.`,
		Example: `  kubectl get secret billing -o jsonpath='{.data.token}' | base64 -d | kubectl apikey verify
  kubectl apikey verify --scope=projects:read --from=10.1.2.3 < token`,
		Args: fromInput, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return exit{exitUsage, fmt.Errorf("-o %s: want table or json", format)}
			}
			a.json = format == "json"
			return c.verdict(cmd.Context(), a)
		},
	}
	a.add(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

// identity is who a token is of, as verify prints it.
type identity struct {
	Accepted bool     `json:"accepted"`
	Reason   string   `json:"reason,omitempty"` // why not
	Key      string   `json:"key,omitempty"`
	ID       string   `json:"id,omitempty"`
	Username string   `json:"username,omitempty"`
	Role     string   `json:"role,omitempty"`
	Tenant   string   `json:"tenant,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	Expires  string   `json:"expires,omitempty"`
}

func (c *cli) verdict(ctx context.Context, a asked) error {
	token, err := c.readToken()
	if err != nil {
		return err
	}
	if a.server != "" {
		return c.serverVerdict(ctx, a, token)
	}
	look, err := c.lookup(ctx, token)
	if err != nil {
		return err
	}
	from, err := address(a.from)
	if err != nil {
		return err
	}
	p, denied, err := look.verifier.Verify(token, from)
	if err != nil {
		return fmt.Errorf("judge the token: %w", err)
	}
	if !denied.Denied() {
		denied = a.permit(p)
	}
	who := identity{Accepted: !denied.Denied(), Reason: denied.String(), Key: p.Key.String()}
	if p.Known() {
		who.ID, who.Username, who.Role, who.Tenant, who.Scopes = p.ID(), p.Username(), p.Role.String(), p.Tenant, strings.Fields(string(p.Scopes))
		if !p.Expires.IsZero() {
			who.Expires = p.Expires.UTC().Format(time.RFC3339)
		}
	}
	return c.tellIdentity(a, who)
}

// permit returns the denied of somebody who may not do what is asked for.
func (a asked) permit(p authn.Principal) authn.Denial {
	for _, scope := range append([]string{""}, a.scopes...) {
		if d := (authn.Rule{Role: authn.ParseRole(a.role), Scope: scope}).Permit(p); d.Denied() {
			return d
		}
	}
	return authn.Denial{}
}

func (c *cli) tellIdentity(a asked, who identity) error {
	if a.json {
		text, err := json.Marshal(who)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		c.print("%s", text)
	} else if who.Accepted {
		c.print("accepted: %s, role %s, tenant %s, key %s", who.Username, who.Role, who.Tenant, who.Key)
	}
	if who.Accepted {
		return nil
	}
	of := ""
	if who.Key != "" {
		of = " (key " + who.Key + ")"
	}
	return exit{exitRefused, fmt.Errorf("refused: %s%s; see kubectl apikey explain", who.Reason, of)}
}

func (c *cli) serverVerdict(ctx context.Context, a asked, token string) error {
	status, body, err := a.ask(ctx, "/api/user", token)
	if err != nil {
		return err
	}
	c.print("%s", bytes.TrimSpace(body))
	switch status {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return exit{exitRefused, fmt.Errorf("the server answers %d", status)}
	}
	return fmt.Errorf("the server answers %d: it cannot tell now", status)
}

func address(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	from, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, exit{exitUsage, fmt.Errorf("--from=%s: want an IP address", text)}
	}
	return from, nil
}

// looked is what the cluster knows of a token.
type looked struct {
	verifier *authn.Verifier // judges as every server does
	found    []v1alpha1.ApiKey
	limited  string // the only Namespace that was looked in
}

// lookup finds the ApiKeys that have a token's digest, and puts them into an index like a server's.
func (c *cli) lookup(ctx context.Context, token string) (looked, error) {
	k8s, namespace, err := c.connect()
	if err != nil {
		return looked{}, err
	}
	ring := keyring.New(0)
	out := looked{verifier: &authn.Verifier{Format: c.format, Keys: ring, Now: time.Now}}
	tenants := map[string]string{}
	if digest, ok := c.format.Digest(token); ok {
		take := func(o *v1alpha1.ApiKey) bool {
			for _, cred := range kube.Credentials(o) {
				if cred.Digest == digest {
					out.found = append(out.found, *o)
				}
			}
			return true
		}
		err := each(ctx, k8s, take)
		if apierrors.IsForbidden(err) {
			out.limited = namespace
			c.say("You may not list ApiKeys of all Namespaces: only %s is looked in.", namespace)
			err = each(ctx, k8s, take, client.InNamespace(namespace))
		}
		if err != nil {
			return looked{}, err
		}
	}
	for i := range out.found {
		ns := out.found[i].Namespace
		if tenants[ns], err = tenantOf(ctx, k8s, ns); err != nil {
			c.say("The tenant of Namespace %s is not known: %v", ns, err)
			tenants[ns] = ns
		}
	}
	ring.Load(func(yield func(*v1alpha1.ApiKey) bool) {
		for i := range out.found {
			if !yield(&out.found[i]) {
				return
			}
		}
	}, tenants)
	return out, nil
}

func tenantOf(ctx context.Context, k8s client.Client, namespace string) (string, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := k8s.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return "", fmt.Errorf("get Namespace: %w", err)
	}
	if t := ns.Labels[v1alpha1.TenantLabel]; t != "" {
		return t, nil
	}
	return namespace, nil
}

func (c *cli) explain() *cobra.Command {
	var a asked
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why a token is refused, check by check; the token is read from standard input",
		Long: `Say why a token is refused: the checks of the server in their order, until the first that fails. The token is read from standard input and
never shown. What the server tells a stranger is one of three codes; this tells who may list ApiKeys the reason.`,
		Example: `  kubectl apikey explain < token
  kubectl apikey explain --from=10.1.2.3 --scope=invoices:write < token`,
		Args: fromInput, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.checks(cmd.Context(), a) },
	}
	a.add(cmd)
	return cmd
}

// checks prints what a server looks at, in its order.
func (c *cli) checks(ctx context.Context, a asked) error {
	token, err := c.readToken()
	if err != nil {
		return err
	}
	from, err := address(a.from)
	if err != nil {
		return err
	}
	if shape, ok := jwtShape(token); ok {
		return c.explainJWT(ctx, a, token, shape)
	}
	look, err := c.lookup(ctx, token)
	if err != nil {
		return err
	}
	p, denied, err := look.verifier.Verify(token, from)
	if err != nil {
		return fmt.Errorf("judge the token: %w", err)
	}
	if err := c.walk(append(c.steps(token, look, p), a.steps(p)...), cmp.Or(denied.Reason, a.permit(p).Reason)); err != nil {
		return err
	}
	c.print("accepted: %s, role %s, tenant %s", p.Username(), p.Role, p.Tenant)
	if a.server != "" {
		return c.serverVerdict(ctx, a, token)
	}
	return nil
}

// walk prints checks until the one that failed.
func (c *cli) walk(steps []step, failed denial.Reason) error {
	for _, s := range steps {
		if s.reason == failed {
			c.print("✗ %s", s.no)
			c.print("  %s", s.help)
			break
		}
		c.print("✓ %s", s.yes)
	}
	if failed != denial.None {
		return exit{exitRefused, fmt.Errorf("refused: %s", failed)}
	}
	return nil
}

// step is one check: what is said when it passes, when it is the one that fails, and what to do then.
type step struct {
	reason        denial.Reason
	yes, no, help string
}

// steps are the checks of a key, in the order of apikey.Usable.
func (c *cli) steps(token string, look looked, p authn.Principal) []step {
	of, o := p.Key.String(), v1alpha1.ApiKey{}
	for i := range look.found {
		if look.found[i].Namespace == p.Key.Namespace && look.found[i].Name == p.Key.Name {
			o = look.found[i]
		}
	}
	where := "in the cluster"
	if look.limited != "" {
		where = "in Namespace " + look.limited
	}
	replaced := "it is not one that was replaced"
	for _, cred := range kube.Credentials(&o) {
		if cred.Digest == p.Credential && !cred.ValidUntil.IsZero() {
			replaced = "it was replaced, or is to end: it is accepted until " + cred.ValidUntil.UTC().Format(time.RFC3339)
		}
	}
	source := "Secret " + o.Status.SecretName
	if kube.Imported(&o) {
		source = "whoever made it"
	}
	shape := "it is no token of this installation, and may be an imported one"
	if strings.HasPrefix(token, c.prefix+"_") {
		shape = "it has the shape of this installation's tokens, and its checksum is right"
	}
	return []step{
		{denial.Malformed, shape, "it starts like a token of this installation, but is not whole: its length, an odd character or its checksum is wrong",
			"Part of it was lost or mistyped on the way: take it anew from where it is kept."},
		{denial.Unknown, "an ApiKey " + where + " has its SHA-256: " + of, "no ApiKey " + where + " has its SHA-256",
			"It was never made here, or its ApiKey was deleted, or it was replaced so long ago that its record is gone."},
		{denial.Deleted, "the ApiKey is not being deleted", "the ApiKey " + of + " is being deleted", "Make another key."},
		{denial.Suspended, "the ApiKey is not suspended", "the ApiKey " + of + " is suspended" + because(o), "kubectl apikey resume " + o.Name + " -n " + o.Namespace},
		{denial.Revoked, "the ApiKey is not revoked", "the ApiKey " + of + " is revoked" + because(o), "That is for ever: make another key."},
		{denial.Expired, "the ApiKey has not expired", "the ApiKey " + of + " has expired: " + until(o.Spec.ExpiresAt, time.Now()), "Move spec.expiresAt, or make another key."},
		{denial.Retired, replaced, "it was replaced, and its overlap is over", "Take the current one from " + source + "; whoever still has this one has not noticed a rotation."},
		{denial.Network, "it may be used from there", "it may be used from " + listed(o.Spec.AllowedCIDRs, "anywhere") + " only", "Say with --from where it is presented from; change spec.allowedCIDRs if that is right."},
		{denial.Reserved, "its account and tenant have names of their own", "its account or tenant has a name that is kept for others (system:, apikey:), or no role", "Correct spec.owner, spec.role, or the tenant label of the Namespace."},
	}
}

func because(o v1alpha1.ApiKey) string {
	if o.Spec.StateReason == "" {
		return ""
	}
	return ": " + o.Spec.StateReason
}

// steps are the checks of what somebody may do.
func (a asked) steps(p authn.Principal) (out []step) {
	if a.role != "" {
		out = append(out, step{denial.Role, "its role is " + p.Role.String(), "its role is " + p.Role.String() + ", which is less than " + a.role, "Change spec.role, which takes the verb grant on apikeyroles/" + a.role + "."})
	}
	if len(a.scopes) > 0 {
		out = append(out, step{denial.Scope, "it may " + strings.Join(a.scopes, ", "), "it is limited to " + string(p.Scopes), "Change spec.scopes, which takes the verb grant on each."})
	}
	return out
}

// jwtShape reads the claims of what looks like a JWT, without believing them.
func jwtShape(token string) (map[string]any, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return nil, false
	}
	return claims, true
}

func (c *cli) explainJWT(ctx context.Context, a asked, token string, claims map[string]any) error {
	c.print("It is a JWT, not an API key. It says of itself, which nothing here can prove: issuer %v, audience %v, subject %v", claims["iss"], claims["aud"], claims["sub"])
	if exp, ok := claims["exp"].(float64); !ok {
		c.print("✗ it does not say when it ends (exp)")
		return exit{exitRefused, errors.New("refused: no expiry")}
	} else if end := time.Unix(int64(exp), 0); end.Before(time.Now()) {
		c.print("✗ it has ended at %s: get a new one", end.UTC().Format(time.RFC3339))
		return exit{exitRefused, errors.New("refused: expired")}
	}
	if a.server == "" {
		return exit{exitUsage, errors.New("whether its signature, issuer and audience are right is for the server to say: give --server-url")}
	}
	return c.serverVerdict(ctx, a, token)
}
