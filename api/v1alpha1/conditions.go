// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Types of conditions of an ApiKey. docs/concepts.md lists their reasons. All but Ready are absent when they do not apply.
const (
	// ConditionReady is True when the desired state is in force, also when that is Suspended, Revoked or Expired: the
	// reason says which. It is False when something is wrong or under way.
	ConditionReady = "Ready"
	// ConditionAccepted is True when at least one token of the key works now, and False when none does.
	ConditionAccepted = "Accepted"
	// ConditionDelivered is True when the Secret holds the current token, with everything that its template adds. Absent
	// for imported keys.
	ConditionDelivered = "Delivered"
	// ConditionRotating is True when the key rotates on schedule; False says why it does not. Absent without a rotation.
	ConditionRotating = "Rotating"
	// ConditionRotationDue is True when an imported key should have been rotated by its owner.
	ConditionRotationDue = "RotationDue"
	// ConditionConsumersNotified is True when all workloads of spec.secret.restart and refresh were notified of the
	// current token.
	ConditionConsumersNotified = "ConsumersNotified"
)

// Reasons of conditions and Events. Programs may depend on them. Those marked (Event) are reasons of Events only.
const (
	// ReasonIssued: the current token is in the Secret.
	ReasonIssued = "Issued"
	// ReasonReissued (Event): the Secret had lost the current token, and a new one is being issued.
	ReasonReissued = "Reissued"
	// ReasonRotated (Event): the Secret holds a new token; the previous one works for its overlap.
	ReasonRotated = "Rotated"
	// ReasonScheduled: the time of the next rotation is known.
	ReasonScheduled = "Scheduled"
	// ReasonDue: a rotation is due and starts soon; after a downtime overdue rotations are spread over ten minutes.
	ReasonDue = "Due"
	// ReasonClockDoubted: a rotation waits because the controller's clock and the API server's differ.
	ReasonClockDoubted = "ClockDoubted"
	// ReasonOverlapping: a rotation waits because three previous tokens still work.
	ReasonOverlapping = "Overlapping"
	// ReasonInvalidRotation: spec.rotation cannot be read. The key works and does not rotate.
	ReasonInvalidRotation = "InvalidRotation"
	// ReasonInvalidTemplate: part of spec.secret.template cannot be written. The token is delivered.
	ReasonInvalidTemplate = "InvalidTemplate"
	// ReasonSecretRefused: the API server refuses to write the Secret, for example because of a quota or a policy.
	ReasonSecretRefused = "SecretRefused"
	// ReasonNotified: all consumers were notified of the current token.
	ReasonNotified = "Notified"
	// ReasonNotifyFailed: a consumer could not be restarted or refreshed.
	ReasonNotifyFailed = "NotifyFailed"
	// ReasonRestarted (Event): a workload was restarted for a new token.
	ReasonRestarted = "Restarted"
	// ReasonConsumerMissing (Event): a workload of spec.secret.restart does not exist.
	ReasonConsumerMissing = "ConsumerMissing"
	// ReasonRotationDue: the owner of an imported key should rotate it.
	ReasonRotationDue = "RotationDue"
	// ReasonRepaired (Event): the Secret was changed, and was written again with the same token.
	ReasonRepaired = "Repaired"
	// ReasonRetired (Event): the overlap of a previous token has passed.
	ReasonRetired = "Retired"
	// ReasonResumed (Event): a suspended key is accepted again.
	ReasonResumed = "Resumed"
	// ReasonAccepted: at least one token works.
	ReasonAccepted = "Accepted"
	// ReasonIssuing: no token is delivered yet.
	ReasonIssuing = "Issuing"
	// ReasonNoToken: no token of the key works now, though its state would allow one.
	ReasonNoToken = "NoToken"
	// ReasonDeleting: the ApiKey is being deleted; every endpoint refuses its tokens.
	ReasonDeleting = "Deleting"
	// ReasonSuspended: the key is refused until spec.state is Active again.
	ReasonSuspended = "Suspended"
	// ReasonRevoked: the key is refused permanently.
	ReasonRevoked = "Revoked"
	// ReasonExpired: spec.expiresAt has passed.
	ReasonExpired = "Expired"
	// ReasonSecretConflict: the name of the Secret belongs to something else.
	ReasonSecretConflict = "SecretConflict"
	// ReasonPolicyMissing: the policies that guard minting are not in force, so nothing is minted.
	ReasonPolicyMissing = "PolicyMissing"
	// ReasonDigestConflict: an imported digest belongs to another ApiKey.
	ReasonDigestConflict = "DigestConflict"
)
