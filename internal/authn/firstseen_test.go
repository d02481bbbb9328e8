// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
)

func TestTheMemoryOfUnknownDigestsIsBounded(t *testing.T) {
	var seen authn.FirstSeen
	now := time.Now()
	digest := func(i int) apikey.Digest { return apikey.DigestOf(fmt.Sprint(i)) }
	for i := range 3 * authn.MaxFirstSeen {
		seen.At(digest(i), now)
	}
	later := now.Add(authn.FirstSeenFor)
	if last := digest(3*authn.MaxFirstSeen - 1); !seen.At(last, later).Equal(now) {
		t.Error("a digest is forgotten too soon")
	}
	if !seen.At(digest(0), later).Equal(later) {
		t.Error("more digests are remembered than the bound allows")
	}
	var seldom authn.FirstSeen // a generation that few digests end
	seldom.At(digest(0), now)
	seldom.At(digest(1), now.Add(2*authn.FirstSeenFor-time.Second))
	if end := now.Add(2 * authn.FirstSeenFor); !seldom.At(digest(0), end).Equal(end) {
		t.Error("a digest is remembered for too long")
	}
}
