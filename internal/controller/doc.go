// SPDX-License-Identifier: Apache-2.0

// Package controller reconciles ApiKeys: it reads the ApiKey and its Secret, calls apikey.Decide, and applies the plan.
//
// It makes no decision about the lifecycle itself. It needs no state after a crash, and never changes a Secret that
// does not belong to the ApiKey.
package controller
