// SPDX-License-Identifier: Apache-2.0

// Package authn verifies a presented credential: it returns the principal, or a denial with its reason. It also has the
// rules on role, scope and tenant that an endpoint can require.
//
// It knows no protocol: the endpoints translate. It does not decide whose keys a caller may see and change: package
// manage does.
//
// A Denial is a value. An error means that the server cannot decide yet. It must become a 503, never a denial.
package authn
