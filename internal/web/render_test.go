// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/rest"
)

// rendered returns a page.
func rendered(t *testing.T, name string, data any) string {
	t.Helper()
	var out bytes.Buffer
	if err := templates[name].Execute(&out, screen{Title: "t", Data: data}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAListClaimsNoMoreThanWasExamined(t *testing.T) {
	search, since := manage.Query{Text: "key-059999"}, time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name       string
		data       listed
		want, deny string
	}{
		{"a search that stopped early goes on", listed{Query: search, Next: "/k?cursor=x&q=y"}, `href="/k?cursor=x&amp;q=y"`, "No key matches<"},
		{"a search that is complete says so", listed{Query: search}, "No key matches<", "Search on"},
		{"an order looks at some keys only", listed{Query: search, Attention: true}, "first 5,000 keys", "Nothing with these filters."},
		{"a key whose use is not recorded", listed{Keys: []rest.KeyView{{Name: "a"}}}, "not recorded", `data-label="Last used"><span class="soft">never`},
		{"a key that is not used", listed{Keys: []rest.KeyView{{Name: "a", UseRecordedSince: &since}}}, "not since ", "not recorded"},
	} {
		page := rendered(t, "list", c.data)
		if !strings.Contains(page, c.want) || strings.Contains(page, c.deny) {
			t.Errorf("%s: %s", c.name, page)
		}
	}
}
