// SPDX-License-Identifier: Apache-2.0

// Package activity records how keys are used. It counts the outcomes of requests without slowing them down, stores the
// counts in a database, and reports anomalies in sentences.
//
// It identifies keys by UID and never sees a token. A killed process loses at most one flush interval. If there is more
// to count than memory allows, the package drops counts and reports how many.
package activity
