// SPDX-License-Identifier: Apache-2.0

// Package manage is what people do with keys: create, find, change, rotate, revoke and delete them,
// each within what its author may. It writes ApiKeys and nothing else; what it makes, kubectl shows.
//
// Two rules are its own: nobody sees or touches what is not theirs, and no key that somebody makes,
// changes or is handed a token of exceeds its author. It knows no protocol: REST and the page
// translate.
package manage
