// SPDX-License-Identifier: Apache-2.0

package denial_test

import (
	"net/http"
	"testing"

	"github.com/kaana/apikey-operator/internal/denial"
)

func TestEveryReasonHasANameOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for r := range denial.Reason(denial.Count) {
		name := r.String()
		if seen[name] || (name == "") != (r == denial.None) {
			t.Errorf("reason %d is named %q", r, name)
		}
		seen[name] = true
	}
	if got := denial.Reason(denial.Count).String(); seen[got] {
		t.Errorf("a reason that does not exist is named %q", got)
	}
}

func TestAClientLearnsOneOfFourCodes(t *testing.T) {
	want := map[denial.Reason]denial.Code{denial.Missing: denial.MissingToken, denial.Scheme: denial.MissingToken,
		denial.Expired: denial.TokenExpired, denial.Spoofed: denial.InsufficientScope, denial.Role: denial.InsufficientScope, denial.Scope: denial.InsufficientScope,
		denial.Tenant: denial.InsufficientScope}
	for r := denial.Missing; int(r) < denial.Count; r++ {
		code, ok := want[r]
		if !ok {
			code = denial.InvalidToken
		}
		if r.Code() != code {
			t.Errorf("%s: %s, want %s", r, r.Code(), code)
		}
	}
	for _, c := range denial.Codes {
		status := http.StatusUnauthorized
		if c == denial.InsufficientScope {
			status = http.StatusForbidden
		}
		if c.Status() != status || c.Message() == "" {
			t.Errorf("%s: %d, %q", c, c.Status(), c.Message())
		}
	}
}
