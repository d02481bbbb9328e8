// SPDX-License-Identifier: Apache-2.0

// Package activity is what keys are used for: it counts verdicts without slowing them down, keeps the
// counts in a database, and says in sentences what is unusual about them.
//
// It knows keys by their UID and never sees a token. Counting loses at most one flush interval when the
// process is killed; when there is more than it can hold it drops counts, and says how many.
package activity
