// SPDX-License-Identifier: Apache-2.0

// Package admission is an optional webhook. It records who created an ApiKey, rejects specs that would fail later, and
// warns about likely mistakes.
//
// The operator works without it. The API server enforces the rules with CEL in the CRD and the policies of
// config/policy, and ignores the webhook when it does not answer. The webhook answers from the ApiKey under review
// alone.
package admission
