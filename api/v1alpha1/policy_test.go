// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// TestTheServerMayWriteOneFieldOfTheStatusFreely holds config/policy/status.yaml to the type: a field that is added to the status
// must be added there too, or a compromised server could write it.
func TestTheServerMayWriteOneFieldOfTheStatusFreely(t *testing.T) {
	text, err := os.ReadFile("../../config/policy/status.yaml")
	if err != nil {
		t.Fatal(err)
	}
	status := reflect.TypeFor[v1alpha1.ApiKeyStatus]()
	for i := range status.NumField() {
		name, _, _ := strings.Cut(status.Field(i).Tag.Get("json"), ",")
		guarded := strings.Contains(string(text), "object.?status.?"+name+" == oldObject.?status.?"+name)
		if name == "credentials" { // only claims, which test/policy tries
			guarded = strings.Contains(string(text), "variables.records == variables.recordsBefore ||")
		}
		if guarded == (name == "lastUsedTime") {
			t.Errorf("status.%s: the policy keeps the server from writing it: %v", name, guarded)
		}
	}
}
