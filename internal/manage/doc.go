// SPDX-License-Identifier: Apache-2.0

// Package manage implements key management for users: create, find, change, suspend, rotate, revoke and delete keys.
// It enforces that no caller exceeds their own permissions; Authorize, one pure function, decides that.
//
// It writes ApiKeys and creates Events about anomalies, and nothing else, so kubectl shows everything that it does. It
// knows no protocol: REST and the page translate.
package manage
