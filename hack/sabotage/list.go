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

	doorDir      = "internal/door"
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
	{usable, "case k.State == Suspended:\n\t\treturn denial.Suspended\n", ``, core, "TestUsable", ""},
	{usable, "case k.Deleted:\n\t\treturn denial.Deleted\n\t", ``, core, "TestUsable", ""},
	{usable, `case c.Phase == Retired || passed(c.ValidUntil, now):`, `case passed(c.ValidUntil, now):`, core, "TestUsable", ""},
	{usable, `k.Networks != nil &&`, `len(k.Networks) > 0 &&`, core, "TestAKeyIsAcceptedFromItsNetworksOnly", ""},
	{usable, `from = from.Unmap().WithZone("")`, `from = from.WithZone("")`, core, "TestAKeyIsAcceptedFromItsNetworksOnly", ""},
	{decide, `c.Phase, c.ValidUntil = Retiring, Earliest(now.Add(in.Overlap), in.Key.ExpiresAt)`, `c.Phase, c.ValidUntil = Retired, now`, core, "TestDecide", ""},
	{records, "case c.Phase == Pending && !lost(c, now):\n\t\t\twait = Earliest(wait, c.IssuedAt.Add(PublishWindow))\n", ``, core, "TestDecide", ""},
	{records, "case c.Phase == Retiring && !urgent:\n\t\t\twait = Earliest(wait, c.ValidUntil)\n", ``, core, "TestDecide", ""},
	{decide, `case in.Secret.Ownership == Foreign, in.Secret.Ownership == Absent && in.Rival != "":`, `case in.Secret.Ownership == Absent && in.Rival != "":`, core, "TestDecide", ""},
	{core + "/input.go", `return r.Requested != "" && r.Requested != r.Handled`, `return r.Requested != ""`, core, "TestDecide", ""},
	{core + "/states.go", "if in.Secret.Ownership == Ours {\n\t\tplan.Step = Unpublish", "if in.Secret.Ownership != Absent {\n\t\tplan.Step = Unpublish", core, "TestDecide", ""},
	{core + "/states.go", `c.Phase, c.ValidUntil = Retired, Earliest(c.ValidUntil, now)`, `c.ValidUntil = Earliest(c.ValidUntil, now)`, core, "TestDecide", ""},
	{core + "/input.go", `return r.Leading.Add(r.Cadence.spread())`, `return r.Leading`, core, "TestDecide", ""},
	{decide, `if in.MissingPolicy != "" {`, `if false {`, core, "TestDecide", ""},
	{cadence, "\t\tlocal.Hour(),\n\t\tlocal.Minute(),\n\t\tlocal.Second(),", "\t\tafter.UTC().Hour(),\n\t\tlocal.Minute(),\n\t\tlocal.Second(),", core, "TestAScheduleFiresInItsZoneAcrossChangesOfTheClocks", ""},
	{cadence, `min(gap/10, MaxSpread)`, `min(gap/2, gap)`, core, "TestEveryFiringRotatesOnceAndJitterDoesNotAddUp", ""},
	{cadence, `for at.Sub(last) < MinInterval && !at.IsZero() {`, `for at.Sub(last) < 0 && !at.IsZero() {`, core, "TestAScheduleKeepsTheLeastInterval", ""},
	{"internal/apikey/claim.go", "case a.Unrecorded != b.Unrecorded:\n\t\treturn b.Unrecorded\n", ``, core, "TestTheFirstRecordedClaimPrecedesThenAgeThenUID", ""},
	{"internal/apikey/claim.go", "case !a.Unrecorded && !a.At.Equal(b.At):\n\t\treturn a.At.Before(b.At)\n", ``, core, "TestTheFirstRecordedClaimPrecedesThenAgeThenUID", ""},
	{core + "/imported.go", `case slices.Contains(in.Disputed, c.Digest):`, `case false:`, core, "TestDecide", ""},
	{core + "/states.go", `range in.lastRecords(now) {`, `range in.Credentials {`, core, "TestDecide", ""},
	{manageDir + "/create.go", "\t\ts.claim(ctx, o)\n", ``, manageDir, "TestATokenThatIsShownIsClaimedAtOnce", ""},
	{manageDir + "/rotate.go", "\ts.claim(ctx, o)\n", ``, manageDir, "TestATokenThatIsShownIsClaimedAtOnce", ""},
	{activityDir + "/recorder.go", `!known && len(of.networks) >= networksOfKey`, `false`, activityDir, "TestOneKeyFromAnyNumberOfNetworksTakesABoundedNumberOfRows", ""},
	{activityDir + "/write.go", "\t\tclear(s.ids)\n\t\tclear(s.written)\n\t}\n\treturn err\n", "\t}\n\treturn err\n", activityDir, "TestStores", ""},
	{admissionDir + "/bounds.go", `if r.ContentLength > maxReview {`, `if false {`, admissionDir, "TestALargeReviewIsNotRead", ""},
	{admissionDir + "/bounds.go", `r.Body = http.MaxBytesReader(w, r.Body, maxReview)`, ``, admissionDir, "TestALargeReviewIsNotRead", ""},
	{doorDir + "/boundedlog.go", `if !l.rate.AllowN(r.Time, 1) {`, `if false {`, doorDir, "TestTheLinesOfEachMessageAreBounded", ""},
	{manageDir + "/find.go", `if !s.lists.allow(reader, s.Now()) {`, `if false {`, manageDir, "TestTheListsThatOneAccountCausesAreBounded", ""},
	{"internal/controller/guard.go", `difference(want.policy, stored(is.Spec))`, `difference(want.policy, want.policy)`, "internal/controller", "TestController", "matches less"},
	{"internal/controller/guard.go", `difference(want.binding, storedBinding(bound.Spec))`, `difference(want.binding, want.binding)`, "internal/controller", "TestController", "only warns"},
	{jwtDir + "/config.go", `strings.HasPrefix(other.ClaimMappings.ID.Prefix, c.ClaimMappings.ID.Prefix)`, `other.ClaimMappings.ID.Prefix == c.ClaimMappings.ID.Prefix`, jwtDir, "TestTwoIssuersCannotNameTheSameAccount", ""},
	{manageDir + "/audit.go", `if s.Trail == nil || unchanged || errors.As(err, &problem) {`, `if s.Trail == nil || unchanged || errors.As(err, &problem) || err != nil {`, manageDir, "TestEveryChangeIsRecordedWithItsAuthorAndNoToken", ""},
	{manageDir + "/change.go", "\t\ts.record(ctx, author, Delete, o, nil, err)\n", ``, manageDir, "TestEveryChangeIsRecordedWithItsAuthorAndNoToken", ""},
	{manageDir + "/create.go", "\ts.record(ctx, author, Create, nil, o, translate(\"create\", err))\n", ``, manageDir, "TestEveryChangeIsRecordedWithItsAuthorAndNoToken", ""},
	{manageDir + "/audit.go", `"description": was.Description == is.Description,`, `"description " + is.Description: was.Description == is.Description,`, manageDir, "TestEveryChangeIsRecordedWithItsAuthorAndNoToken", ""},
	{activityDir + "/trail.go", `if t.gap.Lost++; t.gap.Lost == 1 {`, `if t.gap.Lost == 1 {`, activityDir, "TestAnUnavailableDatabaseLosesChangesOnlyWithARecordOfTheGap", ""},
	{activityDir + "/changes.go", `WHERE tenant = ? AND project = ? AND name = ?`, `WHERE ? <> '' AND project = ? AND name = ?`, activityDir, "TestStores", ""},
	{"internal/web/session/signin.go", "\tcase ended:\n", "\tcase ended && false:\n", "internal/web/session", "TestASignInAtARealIssuer", ""},
	{"internal/web/session/signin.go", `if err := s.revoke(r.Context(), current.Refresh); err != nil {`, `if err := s.revoke(r.Context(), ""); err != nil {`, "internal/web/session", "TestASignInAtARealIssuer", ""},
	{"internal/web/session/refresh.go", "\tf := s.flights[name]\n", "\tvar f *flight\n", "internal/web/session", "TestManyTabsRefreshOnce", ""},
	{"internal/web/session/refresh.go", "\tcase !first:\n", "\tcase !first && false:\n", "internal/web/session", "TestServersShareWhatTheyKnowOfSessions", ""},
	{"internal/web/session/signin.go", `case !refused(err):`, `case false:`, "internal/web/session", "TestAnIssuerThatDoesNotAnswerSignsNobodyOut", ""},
	{activityDir + "/sessions.go", `name, now.Unix(), now.Add(-refreshClaim).Unix())`, `name, now.Unix(), now.Unix())`, activityDir, "TestStores", ""},
	{keyringDir + "/index.go", `!in.known || c.Contested()`, `!in.known`, keyringDir, "TestADigestBelongsToTheFirstRecordedClaim", ""},
	{admissionDir + "/admission.go", `if o.Spec.State == v1alpha1.KeyRevoked || !o.DeletionTimestamp.IsZero() {`, `if false {`, admissionDir, "TestValidateRejectsWhatWouldFailLater", ""},
	{admissionDir + "/admission.go", `author = old.Annotations[v1alpha1.RequestedByAnnotation]`, ``, admissionDir, "TestRecordAuthor", ""},
	{kubeDir + "/kube.go", `Phase: phases[c.Phase],`, `Phase: apikey.Current,`, kubeDir, "TestRecordedCredentialsRoundTrip", ""},
	{kubeDir + "/template.go", `case !token && !t.Plain():`, `case false:`, kubeDir, "TestFillOmitsInvalidEntriesAndReportsTheFirst", ""},
	{"internal/authn/verify.go", `strings.HasPrefix(p.Account.ID, "system:") || strings.HasPrefix(p.Account.Username, "system:") ||`, `strings.HasPrefix(p.Account.ID, "system:") ||`, "internal/authn", "TestVerify", ""},
	{"internal/denial/denial.go", "case Expired:\n\t\treturn TokenExpired\n", ``, "internal/denial", "TestAClientLearnsOneOfFourCodes", ""},
	{"internal/authn/principal.go", `if one == scope {`, `if strings.HasPrefix(one, scope) {`, "internal/authn", "TestRulesDemandARoleAndAScope", ""},
	{keyringDir + "/index.go", `if len(ix.unlisted) > 0 || ix.stale.Load() {`, `if len(ix.unlisted) > 1 || ix.stale.Load() {`, keyringDir, "TestALookupFailsUntilBothListsAreComplete", ""},
	{slabDir + "/claims.go", `return s.claim(a).Precedes(s.claim(b))`, `return s.claim(b).Precedes(s.claim(a))`, keyringDir, "TestADigestBelongsToTheFirstRecordedClaim", ""},
	{keyringDir + "/index.go", `Deleted: k.Deleted || in.gone`, `Deleted: k.Deleted`, keyringDir, "TestAKeyIsUndecidedInAnUnknownNamespaceAndDeletedWithItsNamespace", ""},
	{keyringDir + "/index.go", `if s.tenant == tenant && s.known && !s.gone {`, `if s.known && !s.gone {`, keyringDir, "TestATenantSeesItsOwnProjectsByName", ""},
	{decide, `if !in.Consumers.Wanted || in.Consumers.Notified == "" {`, `if !in.Consumers.Wanted {`, core, "TestConsumersAreNotifiedOfEachNewTokenButTheFirst", ""},
	{decide, "if in.TemplateFault != \"\" {", "if false {", core, "TestAFaultyTemplateCostsNoDelivery", ""},
	{core + "/template.go", `; !ok || !known {`, `; !ok || !known && false {`, core, "TestATemplateShowsTheFieldsOfAKey", ""},
	{"internal/controller/fair.go", `q.turn = append(q.turn, namespace)
	}
	q.size--`, `q.turn = append([]string{namespace}, q.turn...)
	}
	q.size--`, "internal/controller", "TestNamespacesAreServedInTurn", ""},
	{usable, `case c.Phase == Retired || passed(c.ValidUntil, now):`, `case c.Phase == Retired:`, "internal/controller", "TestController", "any life"},
	{manageDir + "/authorize.go", `return c.Tenant != "" && slices.Contains(c.Projects, project)`, `return true`, manageDir, "TestAuthorize", ""},
	{manageDir + "/authorize.go", `return p.Account.ID != "" && o.Spec.Owner.ID == p.Account.ID`, `return true`, manageDir, "TestAuthorize", ""},
	{manageDir + "/authorize.go", `if authn.ParseRole(string(o.Spec.Role)) > c.Role {`, `if false {`, manageDir, "TestAuthorize", ""},
	{manageDir + "/authorize.go", `case a != Read && authn.WriteKeys.Permit(c.Principal).Denied():`, `case false:`, manageDir, "TestAuthorize", ""},
	{manageDir + "/authorize.go", `return kube.Imported(after)`, `return false`, manageDir, "TestAuthorize", ""},
	{manageDir + "/authorize.go", `by.Bits() <= n.Bits() && by.Contains(n.Addr())`, `by.Contains(n.Addr())`, e2e, "TestEndToEnd", "exceeds its author"},
	{manageDir + "/suspension.go", `return known && s.id == p.ID() && s.role <= p.Role`, `return known && s.id == p.ID()`, manageDir, "TestAuthorize", ""},
	{manageDir + "/suspension.go", `return s, err == nil && generation == o.Generation && s.role != authn.NoRole`, `return s, err == nil && s.role != authn.NoRole`, manageDir, "TestAuthorize", ""},
	{manageDir + "/suspension.go", `case was.role >= p.Role:`, `case was.role > authn.Admin:`, manageDir, "TestTheStrongerAuthorOfASuspensionStaysOnRecord", ""},
	{manageDir + "/replay.go", `if problem := Authorize(c, Replay, was, was); problem != nil {`, `if problem := Authorize(c, Replay, was, was); problem != nil && seen {`, manageDir, "TestAReplayNeedsTheRightsOfTheKeyAsItIsNow", ""},
	{core + "/kube/kube.go", `return "namespace/" + namespace.GetName()`, `return namespace.GetName()`, keyringDir, "TestANamespaceDoesNotJoinATenantByItsName", ""},
	{core + "/plan.go", `if slices.Contains(in.Disputed, c.Digest) {`, `if false {`, core, "TestAcceptedAgreesWithTheVerdict", ""},
	{core + "/events.go", `if was.Reason == is.Reason {`, `if was == is {`, core, "TestEventsReadAsTheyShould", ""},
	{core + "/schedule.go", `plan.Due = in.Rotation.due()
	switch start`, `plan.Due = in.Rotation.start()
	switch start`, core, "TestADowntimeDoesNotChangeWhenARotationIsDue", ""},
	{decide, `lag = now.Sub(due)`, `lag = now.Sub(in.Rotation.start())`, core, "TestADowntimeDoesNotChangeWhenARotationIsDue", ""},
	{jwtDir + "/strict.go", `return err == nil && seconds >= 0 && seconds <= lastSecond`, `return err == nil && seconds >= 0`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/claims.go", `case strings.Contains(p.Tenant, "/"):`, `case false:`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/keyset.go", `set[m.KID] = append(set[m.KID], publicKey{`, `set[m.KID] = append(keySet{}[m.KID], publicKey{`, jwtDir, "TestKeysOfASetDoNotHideEachOther", ""},
	{jwtDir + "/keyset.go", `if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {`, `if false {`, jwtDir, "TestKeysOfASetDoNotHideEachOther", ""},
	{"internal/trust/trust.go", `case to.URL.Scheme != "https":`, `case false:`, "internal/trust", "TestAClientTrustsItsOwnCAsAndStaysOnHTTPS", ""},
	{activityDir + "/recorder.go", `c.count++`, `c.count = 1`, activityDir, "TestTheRecorderCountsEverythingOnce", ""},
	{activityDir + "/anomalies.go", `peak.Accepted < burstTimes*busiest`, `peak.Accepted <= burstTimes*busiest`, activityDir, "TestAnomalies", ""},
	{activityDir + "/write.go", `DO UPDATE SET count = uses.count + excluded.count, last = excluded.last"),`, `DO UPDATE SET count = excluded.count, last = excluded.last"),`, activityDir, "TestStores", ""},
	{"internal/controller/consumers.go", `if at, err := time.Parse(time.RFC3339, was); err == nil && at.After(delivered) {`, `if was != "" {`, "internal/controller", "TestController", "once after each new token"},
	{"internal/controller/render.go", `secret.Labels = replace(secret.Labels, had.Labels, more.Labels)`, `secret.Labels = replace(secret.Labels, nil, more.Labels)`, "internal/controller", "TestController", "takes it away with the template"},
	{slabDir + "/table.go", "t.refs[i], i = t.refs[j], j", "i = j", slabDir, "TestTheSlabAgreesWithAMap", ""},
	{jwtDir + "/strict.go", `if _, twice := out[key]; twice || !ok {`, `if _, twice := out[key]; twice && false || !ok {`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/strict.go", `[]string{"crit", "b64", "zip"}`, `[]string{"b64", "zip"}`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/strict.go", `if !utf8.Valid(text) {`, `if !utf8.Valid(text) && false {`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/verifier.go", `golangjwt.WithExpirationRequired(),`, ``, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},
	{jwtDir + "/verifier.go", `|| c.generation != c.issuer.keys.current()`, ``, jwtDir, "TestARolloverCostsNoRefusal", ""},
	{jwtDir + "/keys.go", `may := k.asked.IsZero() || now.Sub(k.asked) >= unknownEvery`, `may := true`, jwtDir, "TestAnyFaultOfATokenIsRefused", ""},

	{kubeDir + "/refusal.go", `if slices.Contains(reasons, status.Reason) {`, `if len(reasons) > 0 || slices.Contains(reasons, status.Reason) {`, kubeDir, "TestARefusalRepeatsNothingThatAWebhookChooses", ""},
	{"internal/controller/gather.go", "\t\tcase c.Phase == apikey.Pending:\n\t\t\treturn apikey.ObservedSecret{}, false\n", ``, "internal/controller", "TestController", "reads no Secret for a rotation"},
	{"internal/controller/gather.go", `return in.Secret, apikey.Decide(in, r.Now().Truncate(time.Second)).Step == apikey.Mint`, `return in.Secret, r.Now().Before(time.Time{})`, "internal/controller", "TestController", "reads no Secret for a rotation"},
	{keyringDir + "/contact.go", `metav1.GetOptions{}`, `metav1.GetOptions{ResourceVersion: "0"}`, e2e, "TestEndToEnd", "goes on for a minute"},
	{keyringDir + "/watch.go", `o.ResourceVersion = ""`, ``, keyringDir, "TestTheFirstListIsNotOlderThanItsRequest", ""},
	{keyringDir + "/index.go", `if !listed[name] {`, `if false {`, keyringDir, "TestAnIndexOfSomeNamespacesKnowsOnlyTheirKeys", ""},
	{keyringDir + "/index.go", `case only != metav1.NamespaceAll && s.name != only:`, `case false:`, keyringDir, "TestAnIndexOfSomeNamespacesKnowsOnlyTheirKeys", ""},
	{bootstrapDir + "/secret.go", `if secret.ResourceVersion != "" && secret.Labels[managedBy] != ourselves {`, `if false {`, bootstrapDir, "TestBootstrap", "never replaces a Secret"},
	{bootstrapDir + "/sessionkey.go", `len(secret.Data[SessionKeyName]) == sessionKeySize {`, `false {`, bootstrapDir, "TestBootstrap", "created once"},
	{bootstrapDir + "/certificate.go", `for _, host := range c.Hosts {`, `for _, host := range c.Hosts[:1] {`, bootstrapDir, "TestBootstrap", "valid for all"},
	{pluginDir + "/rows.go", `case seen[r.digest]:`, `case false:`, pluginDir, "TestRowsAreReadInEveryFormat", ""},
	{pluginDir + "/rows.go", `errors.New("want 64 lower-case hexadecimal digits of SHA-256")`, `errors.New("no digest: " + f["sha256"])`, pluginDir, "TestWrongRowsAreNamedByLineAndNeverShown", ""},
	{pluginDir + "/rows.go", `return fmt.Errorf("line %d: %w", wrong.Line, wrong.Err)`, `return fmt.Errorf("line %d", wrong.Line)`, pluginDir, "TestWrongRowsAreNamedByLineAndNeverShown", ""},
	{pluginDir + "/wait.go", `case c == nil, c.ObservedGeneration < o.Generation:`, `case c == nil:`, pluginDir, "TestWaitGoals", ""},
	{pluginDir + "/wait.go", `case handled && slices.ContainsFunc(o.Status.Credentials, pending):`, `case false && pending(v1alpha1.Credential{}):`, pluginDir, "TestWaitGoals", ""},
	{pluginDir + "/lookup.go", `return len(v.keys) == 0 && authn.KindOf(token) != authn.KindOpaque`, `return authn.KindOf(token) != authn.KindOpaque`, pluginDir, "TestExplainNamesEveryReason", ""},
	{"internal/authn/kind.go", `if !strings.Contains(presented, "..") && !strings.HasSuffix(presented, ".") {`, `if true {`, "internal/authn", "TestTheShapeOfATokenIsItsKind", ""},
	{"internal/authn/verify.go", `v.Tokens != nil && KindOf(presented) == KindJWT`, `v.Tokens != nil && KindOf(presented) != KindOpaque`, "internal/authn", "TestTheKindOfATokenDecidesHowItIsVerified", ""},
	{doorDir + "/credential.go", `case len(headers) > 1, elsewhere(r):`, `case elsewhere(r):`, doorDir, "TestBearerReadsExactlyOneCredential", ""},
	{doorDir + "/credential.go", `c <= ' ' || c == ',' || c >= 0x7f`, `c <= ' ' || c >= 0x7f`, doorDir, "TestBearerReadsExactlyOneCredential", ""},
	{doorDir + "/respond.go", "case err != nil:\n\t\treturn undecided", "case err != nil && false:\n\t\treturn undecided", doorDir, "TestAServerThatCannotDecideYetSaysSoAndNeverDenies", ""},
	{"internal/rest/api.go", "if !ok {\n\t\treturn\n\t}\n\tdoor.Uncached", "if !ok && r.Method != http.MethodGet {\n\t\treturn\n\t}\n\tdoor.Uncached", e2e, "TestEndToEnd", "access table"},
	{"internal/web/session/seal.go", `s.aead.Open(nil, nonce, sealed, []byte(name))`, `s.aead.Open(nil, nonce, sealed, []byte(sessionName))`, "internal/web/session", "TestASessionIsSealedAndKeptToThisHost", ""},
	{"internal/web/session/signin.go", "!s.now().Before(a.Expires),\n", "\n", "internal/web/session", "TestASignInBeginsAndEndsInOneBrowser", ""},
	{doorDir + "/client.go", `if from = address.Unmap(); !t.contains(from) {`, `if from = address.Unmap(); true {`, doorDir, "TestTheClientIsTheRightmostAddressThatNoTrustedProxyHas", ""},
	{doorDir + "/forwardauth.go", `for i, name := range IdentityHeaders {`, `for i, name := range IdentityHeaders[:6] {`, doorDir, "TestForwardAuthDemandsWhatItsQuerySays", ""},
	{doorDir + "/tokenreview.go", `if t.RequireCertificate &&`, `if false &&`, doorDir, "TestAReviewRequiresTheCertificateOfTheAPIServerWhenConfigured", ""},
	{doorDir + "/introspection.go", `authn.Rule{Tenant: caller.Tenant}`, `authn.Rule{}`, doorDir, "TestIntrospectionAnswersForItsOwnTenantOnly", ""},
	{doorDir + "/identity.go", `case c >= 'a' && c <= 'z', c >= '0' && c <= '9':`, `case c != '_':`, doorDir, "TestAnIdentityHeaderInAnotherSpellingIsRefused", ""},
	{doorDir + "/identity.go", "if scopes == \"\" {\n\t\tscopes = allScopes", "if scopes == \"\" {\n\t\tscopes = \"\"", doorDir, "TestAScopeMustBeGrantedByNameWhenTheRouteSaysSo", ""},
	{doorDir + "/requirements.go", `return authn.Admin + 1, nil`, `return authn.Admin, nil`, doorDir, "TestAScopeMustBeGrantedByNameWhenTheRouteSaysSo", ""},
	{doorDir + "/tokenreview.go", `if slices.Contains(t.Audiences, audience) {`, `if len(t.Audiences) > 0 || slices.Contains(t.Audiences, audience) {`, doorDir, "TestAReviewIsForTheConfiguredAudiencesOnly", ""},
	{doorDir + "/body.go", `if _, err := d.Token(); !errors.Is(err, io.EOF) {`, `if _, err := d.Token(); d.More() && !errors.Is(err, io.EOF) {`, doorDir, "TestBadInputIsRefusedWithTheRightStatus", ""},
	{"internal/door/envoy/envoy.go", `if spoofed(request) {`, `if false {`, "internal/door/envoy", "TestAnIdentityHeaderInAnotherSpellingIsRefused", ""},
	{pluginDir + "/escape.go", `case unsafeRune(r):`, `case r == 0x1b:`, pluginDir, "TestForeignTextCannotControlATerminal", ""},
}
