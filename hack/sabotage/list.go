// SPDX-License-Identifier: Apache-2.0

package main

const (
	core    = "internal/apikey"
	decide  = core + "/decide.go"
	records = core + "/records.go"
	usable  = core + "/usable.go"
	token   = core + "/token.go"
	cadence = core + "/cadence.go"
	jwtDir  = "internal/authn/jwt"

	manageDir    = "internal/manage"
	activityDir  = "internal/activity"
	admissionDir = "internal/admission"
	kubeDir      = core + "/kube"
	keyringDir   = "internal/keyring"
	slabDir      = keyringDir + "/slab"
	bootstrapDir = "internal/bootstrap"
	pluginDir    = "internal/cli"
	e2e          = "test/e2e"
)

// breakages are mistakes that a change could make.
var breakages = []breakage{
	{token, `func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }`, `func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.Reveal()) }`, core, "TestATokenRedactsItselfEverywhere", ""},
	{token, `func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }`, `func (t Token) LogValue() slog.Value { return slog.StringValue(t.Reveal()) }`, core, "TestATokenRedactsItselfEverywhere", ""},
	{token, `func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }`, `func (t Token) MarshalText() ([]byte, error) { return []byte(t.Reveal()), nil }`, core, "TestATokenRedactsItselfEverywhere", ""},
	{token, `if s[i] != alphabet[sum%62] {`, `if false {`, core, "TestAnySingleChangeToATokenIsRefusedWithoutALookUp", ""},
	{token, `if len(s) != len(f.lead)+bodyDigits {`, `if len(s) < len(f.lead)+bodyDigits {`, core, "TestAnySingleChangeToATokenIsRefusedWithoutALookUp", ""},
	{token, `if presented == "" || len(presented) > MaxTokenBytes {`, `if presented == "" {`, core, "TestImportedKeysOfAnyOtherShapeAreLookedUp", ""},
	{token, `if _, err := io.ReadFull(entropy, random[:]); err != nil {`, `if _, err := entropy.Read(random[:]); err != nil {`, core, "TestMintFailsWithoutEntropy", ""},
	{usable, `return !t.IsZero() && !now.Before(t) }`, `return !t.IsZero() && now.After(t) }`, core, "TestUsable", ""},
	{usable, "case k.Switch == Suspended:\n\t\treturn KeySuspended, false\n", ``, core, "TestUsable", ""},
	{usable, "case k.Deleted:\n\t\treturn KeyDeleted, false\n\t", ``, core, "TestUsable", ""},
	{usable, `case c.Phase == Retired || passed(c.ValidUntil, now):`, `case passed(c.ValidUntil, now):`, core, "TestUsable", ""},
	{usable, `k.Networks != nil &&`, `len(k.Networks) > 0 &&`, core, "TestAKeyIsAcceptedFromItsNetworksOnly", ""},
	{usable, `from = from.Unmap().WithZone("")`, `from = from.WithZone("")`, core, "TestAKeyIsAcceptedFromItsNetworksOnly", ""},
	{decide, `c.Phase, c.ValidUntil = Retiring, Earliest(now.Add(s.Overlap), s.Key.ExpiresAt)`, `c.Phase, c.ValidUntil = Retired, now`, core, "TestDecide", ""},
	{records, "case c.Phase == Pending && !lost(c, now):\n\t\t\twait = Earliest(wait, c.IssuedAt.Add(PublishWindow))\n", ``, core, "TestDecide", ""},
	{records, "case c.Phase == Retiring && !urgent:\n\t\t\twait = Earliest(wait, c.ValidUntil)\n", ``, core, "TestDecide", ""},
	{decide, `case s.Secret.Holding == Foreign, s.Secret.Holding == Absent && s.Rival != "":`, `case s.Secret.Holding == Absent && s.Rival != "":`, core, "TestDecide", ""},
	{decide, `return s.Rotation.Requested != "" && s.Rotation.Requested != s.Rotation.Handled`, `return s.Rotation.Requested != ""`, core, "TestDecide", ""},
	{decide, "if s.Secret.Holding == Ours {\n\t\tplan.Step = Unpublish", "if s.Secret.Holding != Absent {\n\t\tplan.Step = Unpublish", core, "TestDecide", ""},
	{decide, `c.Phase, c.ValidUntil = Retired, Earliest(c.ValidUntil, now)`, `c.ValidUntil = Earliest(c.ValidUntil, now)`, core, "TestDecide", ""},
	{decide, `return r.Started.Add(r.Cadence.spread())`, `return r.Started`, core, "TestDecide", ""},
	{decide, `return s.Key.Switch == Active && !pending &&`, `return s.Key.Switch == Active &&`, core, "TestASecretThatWasNotReadIsReadUnlessItIsReplacedAnyway", ""},
	{decide, `if s.Unguarded != "" {`, `if false {`, core, "TestDecide", ""},
	{cadence, `wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)`, `wall := local`, core, "TestAScheduleFiresInItsZoneAcrossChangesOfTheClocks", ""},
	{cadence, `min(gap/10, MaxSpread)`, `min(gap/2, gap)`, core, "TestEveryFiringRotatesOnceAndJitterDoesNotAddUp", ""},
	{cadence, `for at.Sub(last) < MinInterval && !at.IsZero() {`, `for at.Sub(last) < 0 && !at.IsZero() {`, core, "TestAScheduleKeepsTheLeastInterval", ""},
	{"internal/apikey/claim.go", "case a.Minted != b.Minted:\n\t\treturn a.Minted\n", ``, core, "TestAMintedClaimPrecedesAnImportedOneThenAgeThenUID", ""},
	{admissionDir + "/admission.go", `if o.Spec.State == v1alpha1.KeyRevoked || !o.DeletionTimestamp.IsZero() {`, `if false {`, admissionDir, "TestValidateRejectsWhatWouldFailLater", ""},
	{admissionDir + "/admission.go", `author = old.Annotations[v1alpha1.RequestedByAnnotation]`, ``, admissionDir, "TestRecordAuthor", ""},
	{kubeDir + "/kube.go", `Phase: phases[c.Phase],`, `Phase: apikey.Current,`, kubeDir, "TestRecordedCredentialsRoundTrip", ""},
	{kubeDir + "/template.go", `case !token && !t.Plain():`, `case false:`, kubeDir, "TestFillOmitsInvalidEntriesAndReportsTheFirst", ""},
	{"internal/authn/verify.go", `strings.HasPrefix(p.Account.Username, "system:") || `, ``, "internal/authn", "TestVerify", ""},
	{"internal/authn/verify.go", "code := InvalidToken\n", "code := TokenExpired\n", "internal/authn", "TestVerify", ""},
	{"internal/authn/principal.go", `if one == scope {`, `if strings.HasPrefix(one, scope) {`, "internal/authn", "TestRulesDemandARoleAndAScope", ""},
	{keyringDir + "/index.go", `if len(ix.unlisted) > 0 || ix.stale.Load() {`, `if len(ix.unlisted) > 1 || ix.stale.Load() {`, keyringDir, "TestALookupFailsUntilBothListsAreComplete", ""},
	{slabDir + "/claims.go", `return s.claim(a).Precedes(s.claim(b))`, `return s.claim(b).Precedes(s.claim(a))`, keyringDir, "TestADigestBelongsToTheBestClaim", ""},
	{keyringDir + "/index.go", `Deleted: k.Deleted || in.gone`, `Deleted: k.Deleted`, keyringDir, "TestAKeyIsUndecidedInAnUnknownNamespaceAndDeletedWithItsNamespace", ""},
	{keyringDir + "/index.go", `if s.tenant == tenant && s.known && !s.gone {`, `if s.known && !s.gone {`, keyringDir, "TestATenantSeesItsOwnProjectsByName", ""},
	{"internal/server/bearer.go", `case len(headers) > 1, elsewhere(r):`, `case elsewhere(r):`, "internal/server", "TestBearerReadsExactlyOneCredential", ""},
	{"internal/server/bearer.go", `c <= ' ' || c == ',' || c >= 0x7f`, `c <= ' ' || c >= 0x7f`, "internal/server", "TestBearerReadsExactlyOneCredential", ""},
	{"internal/server/rest.go", "case err != nil:\n\t\tundecidedAnswer.write(w)", "case err != nil && false:\n\t\tundecidedAnswer.write(w)", "internal/server", "TestAServerThatDoesNotKnowYetSaysSoAndNeverNo", ""},
	{decide, `if !s.Consumers.Asked || s.Consumers.Told == "" {`, `if !s.Consumers.Asked {`, core, "TestConsumersAreToldOfEachNewTokenButTheFirst", ""},
	{decide, "if s.Template.Text != \"\" {", "if false {", core, "TestAFaultyTemplateCostsNoDelivery", ""},
	{core + "/template.go", `; !ok || !known {`, `; !ok || !known && false {`, core, "TestATemplateShowsTheFieldsOfAKey", ""},
	{"internal/controller/fair.go", `q.turn = append(q.turn, namespace)
	}
	q.size--`, `q.turn = append([]string{namespace}, q.turn...)
	}
	q.size--`, "internal/controller", "TestNamespacesAreServedInTurn", ""},
	{usable, `case c.Phase == Retired || passed(c.ValidUntil, now):`, `case c.Phase == Retired:`, "internal/controller", "TestController", "any life"},
	{manageDir + "/keys.go", `return p.Tenant != "" && slices.ContainsFunc(d.Tenants.Projects(p.Tenant), func`, `return slices.ContainsFunc(append(d.Tenants.Projects(p.Tenant), d.Tenants.Projects("globex")...), func`, e2e, "TestEndToEnd", "another tenant's things"},
	{manageDir + "/keys.go", `return p.Account.ID != "" && o.Spec.Owner.ID == p.Account.ID`, `return true`, e2e, "TestEndToEnd", "access table"},
	{manageDir + "/keys.go", `if authn.ParseRole(string(o.Spec.Role)) > author.Role {`, `if false {`, e2e, "TestEndToEnd", "exceeds its author"},
	{manageDir + "/keys.go", `by.Bits() <= n.Bits() && by.Contains(n.Addr())`, `by.Contains(n.Addr())`, e2e, "TestEndToEnd", "exceeds its author"},
	{manageDir + "/change.go", `if author.Role < authn.Admin && o.Annotations[SuspendedByAnnotation] != author.ID() {`, `if false {`, e2e, "TestEndToEnd", "deliver to a Secret when asked"},
	{"internal/server/api.go", "if !ok {\n\t\treturn\n\t}\n\th := w.Header()", "if !ok && r.Method != http.MethodGet {\n\t\treturn\n\t}\n\th := w.Header()", e2e, "TestEndToEnd", "access table"},
	{activityDir + "/recorder.go", `c.count++`, `c.count = 1`, activityDir, "TestTheRecorderCountsEverythingOnce", ""},
	{activityDir + "/anomalies.go", `peak.Accepted < burstTimes*busiest`, `peak.Accepted <= burstTimes*busiest`, activityDir, "TestAnomalies", ""},
	{activityDir + "/write.go", `DO UPDATE SET count = uses.count + excluded.count, last = excluded.last"),`, `DO UPDATE SET count = excluded.count, last = excluded.last"),`, activityDir, "TestStores", ""},
	{"internal/web/session/seal.go", `s.aead.Open(nil, nonce, sealed, []byte(name))`, `s.aead.Open(nil, nonce, sealed, []byte(sessionName))`, "internal/web/session", "TestASessionIsSealedAndKeptToThisHost", ""},
	{"internal/web/session/login.go", `!d.now().Before(a.Expires), `, ``, "internal/web/session", "TestASignInBeginsAndEndsInOneBrowser", ""},
	{"internal/controller/consumers.go", `if at, err := time.Parse(time.RFC3339, was); err == nil && at.After(delivered) {`, `if was != "" {`, "internal/controller", "TestController", "once after each new token"},
	{"internal/controller/render.go", `secret.Labels = replace(secret.Labels, had.Labels, more.Labels)`, `secret.Labels = replace(secret.Labels, nil, more.Labels)`, "internal/controller", "TestController", "takes it away with the template"},
	{slabDir + "/table.go", "t.refs[i], i = t.refs[j], j", "i = j", slabDir, "TestTheSlabAgreesWithAMap", ""},
	{"internal/server/bearer.go", `if from = address.Unmap(); !within(s.TrustedProxies, from) {`, `if from = address.Unmap(); true {`, "internal/server", "TestTheClientIsTheRightmostAddressThatNoTrustedProxyHas", ""},
	{"internal/server/forwardauth.go", "for i, name := range identity {\n\t\th[name]", "for i, name := range identity[:6] {\n\t\th[name]", "internal/server", "TestForwardAuthDemandsWhatItsQuerySays", ""},
	{"internal/server/tokenreview.go", `if s.ReviewersNeedCertificate &&`, `if false &&`, "internal/server", "TestAReviewWantsTheCertificateOfTheAPIServerWhenToldTo", ""},
	{"internal/server/introspection.go", `authn.Rule{Tenant: caller.Tenant}`, `authn.Rule{}`, "internal/server", "TestIntrospectionTellsOfItsOwnTenantOnly", ""},
	{jwtDir + "/strict.go", `if _, twice := out[key]; twice || !ok {`, `if _, twice := out[key]; twice && false || !ok {`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/strict.go", `[]string{"crit", "b64", "zip"}`, `[]string{"b64", "zip"}`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/strict.go", `if !utf8.Valid(text) {`, `if !utf8.Valid(text) && false {`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/verifier.go", `golangjwt.WithExpirationRequired(),`, ``, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/verifier.go", `|| c.generation != c.issuer.keys.current()`, ``, jwtDir, "TestARolloverCostsNoRefusal", ""},
	{jwtDir + "/keys.go", `may := k.asked.IsZero() || now.Sub(k.asked) >= unknownEvery`, `may := true`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},

	{keyringDir + "/index.go", `if !listed[name] {`, `if false {`, keyringDir, "TestAnIndexOfSomeNamespacesKnowsOnlyTheirKeys", ""},
	{keyringDir + "/index.go", `case only != metav1.NamespaceAll && s.name != only:`, `case false:`, keyringDir, "TestAnIndexOfSomeNamespacesKnowsOnlyTheirKeys", ""},
	{bootstrapDir + "/secret.go", `if secret.ResourceVersion != "" && secret.Labels[managedBy] != ourselves {`, `if false {`, bootstrapDir, "TestBootstrap", "never replaces a Secret"},
	{bootstrapDir + "/sessionkey.go", `len(secret.Data[SessionKeyName]) == sessionKeySize {`, `false {`, bootstrapDir, "TestBootstrap", "created once"},
	{bootstrapDir + "/certificate.go", `for _, host := range c.Hosts {`, `for _, host := range c.Hosts[:1] {`, bootstrapDir, "TestBootstrap", "valid for all"},
	{pluginDir + "/rows.go", `case seen[r.digest]:`, `case false:`, pluginDir, "TestRowsAreReadInEveryShape", ""},
	{pluginDir + "/rows.go", `errors.New("want 64 lower-case hexadecimal digits of SHA-256")`, `errors.New("no digest: " + f["sha256"])`, pluginDir, "TestWrongRowsAreNamedByLineAndNeverShown", ""},
	{pluginDir + "/rows.go", `return fmt.Errorf("line %d: %w", wrong.Line, wrong.Err)`, `return fmt.Errorf("line %d", wrong.Line)`, pluginDir, "TestWrongRowsAreNamedByLineAndNeverShown", ""},
}
