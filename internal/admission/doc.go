// SPDX-License-Identifier: Apache-2.0

// Package admission is an optional webhook. It records who created an ApiKey, rejects specs that would fail later, and
// warns about likely mistakes.
//
// Nothing depends on it. The API server enforces what matters with CEL in the CRD and the policies of config/policy,
// and ignores the webhook when it does not answer.
package admission
