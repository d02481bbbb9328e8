// SPDX-License-Identifier: Apache-2.0

// Package admission is the webhook that comforts authors of ApiKeys: it stamps who asked for one,
// refuses at once what could only fail later, and warns of what is probably not meant.
//
// Nothing depends on it. The API server itself enforces what matters (CEL in the CRD, the policies
// of config/policy), and ignores the webhook when it does not answer.
package admission
