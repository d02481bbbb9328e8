// SPDX-License-Identifier: Apache-2.0

package authn

import "github.com/kaana/apikey-operator/internal/denial"

// Denial is a refusal with its reason. The zero Denial is none: the request is accepted.
type Denial struct {
	Reason denial.Reason
	Detail string // for the log only; empty when the reason says everything
}

// Deny returns the denial for a reason.
func Deny(r denial.Reason) Denial { return Denial{Reason: r} }

// Denied reports whether d is a denial at all.
func (d Denial) Denied() bool { return d.Reason != denial.None }

// Code returns what the client learns.
func (d Denial) Code() denial.Code { return d.Reason.Code() }

// String returns the reason and its detail, for the log.
func (d Denial) String() string {
	if d.Detail == "" {
		return d.Reason.String()
	}
	return d.Reason.String() + ": " + d.Detail
}
