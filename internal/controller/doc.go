// SPDX-License-Identifier: Apache-2.0

// Package controller is the operator's hands in the cluster: it gathers what is seen of an
// ApiKey and its Secret, lets apikey.Decide decide, and applies the plan.
//
// It decides nothing itself, keeps no state that it needs after a crash, and never touches a
// Secret that is not the ApiKey's own.
package controller
