// SPDX-License-Identifier: Apache-2.0

package apikey

// Reason is why a key is as it is: the reason of a condition and of the event that tells of it.
// It follows the Kubernetes API conventions: one CamelCase word that programs may depend on.
type Reason string

// The reasons.
const (
	// ReasonIssued: the current token is in the Secret and accepted.
	ReasonIssued Reason = "Issued"
	// ReasonReissued (event only): the Secret has lost its token and gets a new one.
	ReasonReissued Reason = "Reissued"
	// ReasonRotated (event only): the Secret holds a new token; the former one has its overlap.
	ReasonRotated Reason = "Rotated"
	// ReasonScheduled: when the key rotates next.
	ReasonScheduled Reason = "Scheduled"
	// ReasonOverlapping: a rotation waits because three replaced tokens are still accepted.
	ReasonOverlapping Reason = "Overlapping"
	// ReasonInvalidRotation: spec.rotation cannot be read; the key works and does not rotate.
	ReasonInvalidRotation Reason = "InvalidRotation"
	// ReasonInvalidTemplate: something of spec.secret.template cannot be written; the token is.
	ReasonInvalidTemplate Reason = "InvalidTemplate"
	// ReasonSecretRefused: the API server refuses to write the Secret, by a quota or a policy.
	ReasonSecretRefused Reason = "SecretRefused"
	// ReasonTold: consumers know of the current token.
	ReasonTold Reason = "Told"
	// ReasonNotTold: a consumer could not be restarted or refreshed.
	ReasonNotTold Reason = "NotTold"
	// ReasonRestarted (event only): a workload was restarted for a new token.
	ReasonRestarted Reason = "Restarted"
	// ReasonConsumerMissing (event only): a workload that is to be restarted does not exist.
	ReasonConsumerMissing Reason = "ConsumerMissing"
	// ReasonRotationDue: an imported key is to be rotated by whoever made it.
	ReasonRotationDue Reason = "RotationDue"
	// ReasonRepaired (event only): the Secret was changed and holds the same token again.
	ReasonRepaired Reason = "Repaired"
	// ReasonRetired (event only): a replaced token's overlap has passed.
	ReasonRetired Reason = "Retired"
	// ReasonResumed (event only): a suspended key is accepted again.
	ReasonResumed Reason = "Resumed"
	// ReasonAccepted: the tokens of spec.digests are accepted.
	ReasonAccepted Reason = "Accepted"
	// ReasonIssuing: no token is delivered yet.
	ReasonIssuing Reason = "Issuing"
	// ReasonSuspended: the key is refused until it is Active again.
	ReasonSuspended Reason = "Suspended"
	// ReasonRevoked: the key is refused for ever.
	ReasonRevoked Reason = "Revoked"
	// ReasonExpired: spec.expiresAt has passed.
	ReasonExpired Reason = "Expired"
	// ReasonSecretConflict: the Secret's name belongs to something else.
	ReasonSecretConflict Reason = "SecretConflict"
	// ReasonPolicyMissing: the policies that guard minting are not in force, so nothing is minted.
	ReasonPolicyMissing Reason = "PolicyMissing"
	// ReasonDigestConflict: an imported digest belongs to another ApiKey.
	ReasonDigestConflict Reason = "DigestConflict"
)

// Condition is one status condition. Without a reason it is left as it is recorded.
type Condition struct {
	True    bool
	Reason  Reason
	Message string
}

// Notice is one event to tell people of.
type Notice struct {
	Warning bool
	Reason  Reason
	Message string
}
