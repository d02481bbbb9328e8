// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeyState is the desired state of a key.
//
// +kubebuilder:validation:Enum=Active;Suspended;Revoked
type KeyState string

const (
	// KeyActive is a key that is accepted.
	KeyActive KeyState = "Active"
	// KeySuspended is a key that is refused until it is Active again; nothing is deleted.
	KeySuspended KeyState = "Suspended"
	// KeyRevoked is a key that is refused permanently. The API server accepts no way back.
	KeyRevoked KeyState = "Revoked"
)

// Role is what the account behind a key may do.
//
// +kubebuilder:validation:Enum=admin;member;viewer
type Role string

const (
	// RoleAdmin may do everything within its tenant.
	RoleAdmin Role = "admin"
	// RoleMember may read and manage what it owns.
	RoleMember Role = "member"
	// RoleViewer may read.
	RoleViewer Role = "viewer"
)

// Scope is one permission, an OAuth 2.0 scope-token (RFC 6749, section 3.3).
//
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule=`self.matches('^[!#-\\[\\]-~]+$')`,message="want printable ASCII without spaces, double quotes and backslashes, like projects:read",reason=FieldValueInvalid
// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:')",message="a scope must not start with system:",reason=FieldValueForbidden
type Scope string

// CIDR is a network in CIDR notation (RFC 4632, RFC 4291).
//
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="want a network like 10.0.0.0/8 or 2001:db8::/32",reason=FieldValueInvalid
type CIDR string

// Owner is the account that a key acts for.
type Owner struct {
	// id is the account's identifier at the identity provider. A decimal number is served as a
	// JSON number by GET /api/user.
	//
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[!-~]+$')`,message="want printable ASCII without spaces, like auth0|123",reason=FieldValueInvalid
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:')",message="an owner's id must not start with system:",reason=FieldValueForbidden
	ID string `json:"id"`

	// username is the account's name, often an e-mail address. Printable ASCII without spaces,
	// because it travels in HTTP headers.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[!-~]+$')`,message="want printable ASCII without spaces, like you@example.com",reason=FieldValueInvalid
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('apikey:')",message="a username must not start with system:, which Kubernetes keeps for itself, nor with apikey:, which names keys without an owner",reason=FieldValueForbidden
	Username string `json:"username"`
}

// SecretTemplate is what the delivered Secret carries besides the token. Values may show
// {{ .Name }}, {{ .Namespace }}, {{ .ExpiresAt }} (RFC 3339; empty when the key does not expire) and
// {{ .CredentialID }}, and those of data also {{ .Token }}, in the syntax of Go's text/template.
type SecretTemplate struct {
	// labels of the Secret. Those of Kubernetes and of programs that act on them are reserved.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('(^|[.])(kubernetes[.]io|k8s[.]io|kaana[.]com|argoproj[.]io|fluxcd[.]io|helm[.]sh|cert-manager[.]io|external-secrets[.]io|hashicorp[.]com|mittwald[.]de|emberstack[.]com)/'))",message="labels of kubernetes.io, k8s.io, kaana.com and of controllers that act on Secrets are reserved",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="want names like example.com/team",reason=FieldValueInvalid
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([^{]|[{]([^{]|$)|[{][{](- )? *[.](Name|Namespace|ExpiresAt|CredentialID) *( -)?[}][}])*$'))",message="a label's value may show {{ .Name }}, {{ .Namespace }}, {{ .ExpiresAt }} and {{ .CredentialID }}, not the token",reason=FieldValueInvalid
	Labels map[string]TemplateValue `json:"labels,omitempty"`

	// annotations of the Secret. The same are reserved as of labels.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.matches('(^|[.])(kubernetes[.]io|k8s[.]io|kaana[.]com|argoproj[.]io|fluxcd[.]io|helm[.]sh|cert-manager[.]io|external-secrets[.]io|hashicorp[.]com|mittwald[.]de|emberstack[.]com)/'))",message="annotations of kubernetes.io, k8s.io, kaana.com and of controllers that act on Secrets are reserved",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="want names like example.com/team",reason=FieldValueInvalid
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([^{]|[{]([^{]|$)|[{][{](- )? *[.](Name|Namespace|ExpiresAt|CredentialID) *( -)?[}][}])*$'))",message="an annotation's value may show {{ .Name }}, {{ .Namespace }}, {{ .ExpiresAt }} and {{ .CredentialID }}, not the token",reason=FieldValueInvalid
	Annotations map[string]TemplateValue `json:"annotations,omitempty"`

	// data of the Secret beside the token's own key, for example
	// credentials.env: "KAANA_API_KEY={{ .Token }}".
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$'))",message="a key of data has 1 to 253 letters, digits, dots, dashes and underscores",reason=FieldValueInvalid
	// +kubebuilder:validation:XValidation:rule="self.all(k, self[k].matches('^([^{]|[{]([^{]|$)|[{][{](- )? *[.](Token|Name|Namespace|ExpiresAt|CredentialID) *( -)?[}][}])*$'))",message="a value may show {{ .Token }}, {{ .Name }}, {{ .Namespace }}, {{ .ExpiresAt }} and {{ .CredentialID }}, and nothing else in double braces",reason=FieldValueInvalid
	Data map[string]TemplateData `json:"data,omitempty"`
}

// TemplateValue is the template of a label or an annotation.
//
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\x{61c}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}\\x{fffe}\\x{ffff}]')`,message="want text without control characters but line feeds and tabs",reason=FieldValueInvalid
type TemplateValue string

// TemplateData is the template of a value of a Secret.
//
// +kubebuilder:validation:MaxLength=8192
// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\x{61c}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}\\x{fffe}\\x{ffff}]')`,message="want text without control characters but line feeds and tabs",reason=FieldValueInvalid
type TemplateData string

// ConsumerKind is a kind of workload, of API group apps.
//
// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
type ConsumerKind string

// Consumer is a workload that reads the Secret only when it starts.
type Consumer struct {
	// kind is Deployment, StatefulSet or DaemonSet.
	//
	// +required
	Kind ConsumerKind `json:"kind"`

	// name of the workload, in the namespace of the ApiKey.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="want lower-case letters, digits, dashes and dots, like billing-api; a namespace cannot be given",reason=FieldValueInvalid
	Name string `json:"name"`
}

// RefreshTarget is what is touched so that mounted files change sooner.
//
// +kubebuilder:validation:Enum=None;Pods
type RefreshTarget string

const (
	// RefreshNone leaves it to the kubelet, which takes up to 90 seconds.
	RefreshNone RefreshTarget = "None"
	// RefreshPods touches the Pods that mount the Secret.
	RefreshPods RefreshTarget = "Pods"
)

// SecretDelivery says where the token is delivered, in what form, and which consumers are notified.
//
// +kubebuilder:validation:XValidation:rule="!has(self.template) || !has(self.template.data) || !((has(self.key) ? self.key : 'token') in self.template.data)",message="template.data must not have the key that holds the token",reason=FieldValueInvalid,fieldPath=".template.data"
type SecretDelivery struct {
	// name of the Secret, in the namespace of the ApiKey. Defaults to the name of the ApiKey.
	// A Secret of that name that is not this ApiKey's is never touched.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="want lower-case letters, digits, dashes and dots, like billing-credentials",reason=FieldValueInvalid
	Name string `json:"name,omitempty"`

	// key of the Secret's data under which the token is found. Defaults to "token".
	//
	// +optional
	// +kubebuilder:default=token
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[-._a-zA-Z0-9]+$')`,message="want letters, digits, dots, dashes and underscores, like api-key",reason=FieldValueInvalid
	Key string `json:"key,omitempty"`

	// template of labels, annotations and data that the Secret carries besides.
	//
	// +optional
	Template *SecretTemplate `json:"template,omitempty"`

	// restart lists workloads that read the token only when they start. They are restarted as
	// `kubectl rollout restart` does, once after each new token but the first.
	//
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Restart []Consumer `json:"restart,omitempty"`

	// refresh is Pods to touch the Pods that mount the Secret after each new token, so that their
	// files change within seconds instead of up to 90. Needs the permissions of
	// config/rbac/refresh. Defaults to None.
	//
	// +optional
	Refresh RefreshTarget `json:"refresh,omitempty"`
}

// Digest is a credential that the operator never sees in plaintext: imported from elsewhere,
// or shown once to the person who created it.
type Digest struct {
	// sha256 is the SHA-256 of the whole token, 64 lower-case hexadecimal digits. The token must
	// be random (at least 128 bits of entropy): a digest of a guessable password is a password.
	//
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[0-9a-f]{64}$')`,message="want 64 lower-case hexadecimal digits: the SHA-256 of the whole token, as sha256sum prints it",reason=FieldValueInvalid
	SHA256 string `json:"sha256"`

	// hint helps a person to recognise the token, usually its last four characters.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x1f\\x7f-\\x9f\\x{61c}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}\\x{fffe}\\x{ffff}]')`,message="want one line of text without control characters",reason=FieldValueInvalid
	Hint string `json:"hint,omitempty"`

	// validUntil is the instant from which the token is refused. Without it the token lives as
	// long as the ApiKey.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 1970 && self.getFullYear() <= 9998",message="want an instant between the years 1970 and 9998, like 2027-01-01T00:00:00Z",reason=FieldValueInvalid
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`
}

// Rotation says when the token is replaced. Both tokens are accepted for the overlap.
//
// +kubebuilder:validation:XValidation:rule="has(self.schedule) != has(self.every)",message="give either schedule or every",reason=FieldValueInvalid
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.schedule)",message="timeZone goes with schedule",reason=FieldValueInvalid,fieldPath=".timeZone"
// +kubebuilder:validation:XValidation:rule="!has(self.every) || self.every.size() == 0 || !self.every.matches('^([0-9]{1,6}([.][0-9]{1,9})?h)?([0-9]{1,7}([.][0-9]{1,9})?m)?([0-9]{1,9}([.][0-9]{1,9})?s)?([0-9]{1,11}([.][0-9]{1,9})?ms)?$') || duration(self.every) >= duration('5m')",message="every must be 5m or longer",reason=FieldValueInvalid,fieldPath=".every"
// +kubebuilder:validation:XValidation:rule="!has(self.overlap) || self.overlap.size() == 0 || !self.overlap.matches('^([0-9]{1,6}([.][0-9]{1,9})?h)?([0-9]{1,7}([.][0-9]{1,9})?m)?([0-9]{1,9}([.][0-9]{1,9})?s)?([0-9]{1,11}([.][0-9]{1,9})?ms)?$') || duration(self.overlap) >= duration('5m')",message="overlap must be 5m or longer: mounted Secrets take up to 90 s to change",reason=FieldValueInvalid,fieldPath=".overlap"
type Rotation struct {
	// schedule is when to rotate, in five cron fields: minute, hour, day of month, month, day of
	// week. A key rotates up to a tenth of the interval later, ten minutes at most, and not twice
	// within five minutes. Excludes every.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z*/,?#-]+( +[0-9A-Za-z*/,?#-]+){4}$')",message="want five cron fields, like 0 3 * * 0: minute, hour, day of month, month, day of week",reason=FieldValueInvalid
	Schedule string `json:"schedule,omitempty"`

	// timeZone of the schedule, a name of the IANA database like Europe/Berlin. Defaults to UTC.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[!-~]+$')`,message="want a name of the IANA database, like Europe/Berlin",reason=FieldValueInvalid
	TimeZone string `json:"timeZone,omitempty"`

	// every is the longest time that a token stays current, like 720h; at least 5m. A key rotates
	// up to a tenth sooner, so that keys made together do not rotate together. Excludes schedule.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.size() > 0 && self.matches('^([0-9]{1,6}([.][0-9]{1,9})?h)?([0-9]{1,7}([.][0-9]{1,9})?m)?([0-9]{1,9}([.][0-9]{1,9})?s)?([0-9]{1,11}([.][0-9]{1,9})?ms)?$')`,message="want hours, minutes and seconds, like 720h or 1h30m, up to 999999h",reason=FieldValueInvalid
	Every *metav1.Duration `json:"every,omitempty"`

	// overlap is how long the previous token works beside the new one, at least 5m. Defaults
	// to 24h, also for keys without a rotation. When three previous tokens still work, a
	// rotation on schedule waits for one of them to end.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.size() > 0 && self.matches('^([0-9]{1,6}([.][0-9]{1,9})?h)?([0-9]{1,7}([.][0-9]{1,9})?m)?([0-9]{1,9}([.][0-9]{1,9})?s)?([0-9]{1,11}([.][0-9]{1,9})?ms)?$')`,message="want hours, minutes and seconds, like 720h or 1h30m, up to 999999h",reason=FieldValueInvalid
	Overlap *metav1.Duration `json:"overlap,omitempty"`
}

// ApiKeySpec is the desired state of a key.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.secret) && has(self.digests))",message="give secret or digests, not both: a token that is imported cannot also be delivered",reason=FieldValueInvalid,fieldPath=".digests"
// +kubebuilder:validation:XValidation:rule="has(self.digests) == has(oldSelf.digests)",message="digests can be neither added to nor removed from a key that exists: create another ApiKey, or revoke this one",reason=FieldValueForbidden
type ApiKeySpec struct {
	// description says to people what the key is for.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x1f\\x7f-\\x9f\\x{61c}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}\\x{fffe}\\x{ffff}]')`,message="want one line of text without control characters",reason=FieldValueInvalid
	Description string `json:"description,omitempty"`

	// state of the key: Active, Suspended (refused, reversible) or Revoked (refused, final).
	// Defaults to Active.
	//
	// +optional
	// +kubebuilder:default=Active
	// +kubebuilder:validation:XValidation:rule="oldSelf != 'Revoked' || self == 'Revoked'",message="a revoked key stays revoked: create another ApiKey",reason=FieldValueForbidden
	State KeyState `json:"state,omitempty"`

	// stateReason says to people why the key is suspended or revoked.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x1f\\x7f-\\x9f\\x{61c}\\x{200e}\\x{200f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}\\x{fffe}\\x{ffff}]')`,message="want one line of text without control characters",reason=FieldValueInvalid
	StateReason string `json:"stateReason,omitempty"`

	// owner is the account that the key acts for. Without it the key is an account of its own.
	//
	// +optional
	Owner *Owner `json:"owner,omitempty"`

	// role of the key. Defaults to member.
	//
	// +optional
	// +kubebuilder:default=member
	Role Role `json:"role,omitempty"`

	// scopes that the key is limited to. An empty list means everything that the role allows. The
	// list is replaced as a whole: as a set, the narrower list of a second field manager would
	// widen it.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Scopes []Scope `json:"scopes,omitempty"`

	// expiresAt is the instant from which the key is refused. Without it the key does not expire.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 1970 && self.getFullYear() <= 9998",message="want an instant between the years 1970 and 9998, like 2027-01-01T00:00:00Z",reason=FieldValueInvalid
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// allowedCIDRs are the networks that the key may be used from, like 10.0.0.0/8 or
	// 2001:db8::/32. An empty list means any. The list is replaced as a whole, like scopes.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	AllowedCIDRs []CIDR `json:"allowedCIDRs,omitempty"`

	// secret says where the token is delivered. Defaults to a Secret of the ApiKey's own name.
	// Excludes digests.
	//
	// +optional
	Secret *SecretDelivery `json:"secret,omitempty"`

	// rotation says when the token is replaced. Without it only the annotation
	// auth.kaana.com/rotate-requested-at asks for it: any new value rotates now. A key with digests
	// cannot be rotated by the operator; its condition RotationDue says when it is time.
	//
	// +optional
	Rotation *Rotation `json:"rotation,omitempty"`

	// digests are credentials that the operator never sees in plaintext. Excludes secret.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.all(d, self.exists_one(e, e.sha256.substring(0, 10) == d.sha256.substring(0, 10)))",message="two digests of one key must differ in their first ten digits, which are their ids",reason=FieldValueInvalid
	// +listType=map
	// +listMapKey=sha256
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Digests []Digest `json:"digests,omitempty"`
}

// CredentialPhase is where a credential stands in its life.
//
// +kubebuilder:validation:Enum=Pending;Current;Retiring;Retired
type CredentialPhase string

const (
	// CredentialPending is recorded and accepted, but not yet known to be delivered.
	CredentialPending CredentialPhase = "Pending"
	// CredentialCurrent is the one in the delivered Secret.
	CredentialCurrent CredentialPhase = "Current"
	// CredentialRetiring was replaced and is accepted until its validUntil.
	CredentialRetiring CredentialPhase = "Retiring"
	// CredentialRetired is refused; it is kept so that a late caller can be recognised.
	CredentialRetired CredentialPhase = "Retired"
)

// Credential is the record of one delivered token. It cannot hold the token.
type Credential struct {
	// id names the credential: the first ten digits of its sha256.
	//
	// +required
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	ID string `json:"id"`

	// sha256 of the whole token, 64 lower-case hexadecimal digits.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256"`

	// hint is the end of the token's checksum, for people to recognise it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Hint string `json:"hint,omitempty"`

	// phase is Pending, Current, Retiring or Retired.
	//
	// +required
	Phase CredentialPhase `json:"phase"`

	// issuedAt is the instant at which the credential was recorded.
	//
	// +required
	IssuedAt metav1.Time `json:"issuedAt"`

	// validUntil is the instant from which the credential is refused. Without it the credential
	// lives until it is replaced.
	//
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`
}

// ApiKeyStatus is what the controller has recorded. Only the operator writes it.
type ApiKeyStatus struct {
	// observedGeneration is the generation of the spec that condition Ready answers.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready and Accepted; Delivered, unless the key has digests; Rotating or, for
	// digests, RotationDue, when the key has a rotation; and ConsumersNotified, when
	// spec.secret.restart or refresh is set. docs/concepts.md lists their reasons.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// credentials are the records of the delivered tokens.
	//
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=4
	Credentials []Credential `json:"credentials,omitempty"`

	// secretName is the Secret that holds the current token.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// lastRotationTime is when the current token was delivered.
	//
	// +optional
	LastRotationTime *metav1.Time `json:"lastRotationTime,omitempty"`

	// notifiedCredential is the id of the credential that the consumers (spec.secret.restart and
	// refresh) were notified of.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=10
	NotifiedCredential string `json:"notifiedCredential,omitempty"`

	// nextRotationTime is when the current token is due for rotation on schedule. A time in the
	// past is a rotation that is overdue: condition Rotating or RotationDue says why.
	//
	// +optional
	NextRotationTime *metav1.Time `json:"nextRotationTime,omitempty"`

	// lastUsedTime is when a token of the key was last accepted; written at most once an hour, and not at
	// all when the server keeps no activity.
	//
	// +optional
	LastUsedTime *metav1.Time `json:"lastUsedTime,omitempty"`

	// lastHandledRotateRequest is the value of the annotation auth.kaana.com/rotate-requested-at
	// that has been acted on.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRotateRequest string `json:"lastHandledRotateRequest,omitempty"`

	// earlierRotateRequest is another value of that annotation that has been acted on. When it comes back, for
	// example from Git after somebody has asked for a rotation on the page, it asks for nothing.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	EarlierRotateRequest string `json:"earlierRotateRequest,omitempty"`
}

// ApiKey is an API key of a workload or a person. Its token is in the Secret that it names, its
// digest in its status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ak,categories=kaana
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.secretName`
// +kubebuilder:printcolumn:name="Next-Rotation",type=string,format=date-time,JSONPath=`.status.nextRotationTime`
// +kubebuilder:printcolumn:name="Last-Used",type=date,JSONPath=`.status.lastUsedTime`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner.username`,priority=1
// +kubebuilder:printcolumn:name="Expires",type=string,format=date-time,JSONPath=`.spec.expiresAt`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ApiKey struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired state of the key. An ApiKey without one is an Active member key.
	//
	// +optional
	// +kubebuilder:default={}
	Spec ApiKeySpec `json:"spec,omitempty"`

	// status is what the controller has recorded.
	//
	// +optional
	Status ApiKeyStatus `json:"status,omitempty"`
}

// ApiKeyList is a list of ApiKeys.
//
// +kubebuilder:object:root=true
type ApiKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ApiKey `json:"items"`
}
