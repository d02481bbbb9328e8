// SPDX-License-Identifier: Apache-2.0

// Package authn answers "who is this, and may they?": the verdict on a presented credential, the
// denial when it is a no, and the access rules. It knows no protocol; doors translate.
//
// A Denial is a reasoned no, a value. An error means undecided and must become a 503: "I do not
// know yet" is never "no".
package authn
