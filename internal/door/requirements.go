// SPDX-License-Identifier: Apache-2.0

package door

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/kaana/apikey-operator/internal/authn"
)

// Requirements parses what a route requires of its callers: role and scope, each any number of times. Anything else is
// an error, because a typo must not open a route.
func Requirements(values url.Values) ([]authn.Rule, error) {
	var rules []authn.Rule
	for name, list := range values {
		for _, v := range list {
			rule, err := requirement(name, v)
			if err != nil {
				return nil, err
			}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// requirement parses one requirement: a role, or a scope.
func requirement(name, value string) (authn.Rule, error) {
	switch name {
	case "role":
		if role := authn.ParseRole(value); role != authn.NoRole {
			return authn.Rule{Role: role}, nil
		}
		return authn.Rule{}, errors.New("role: want admin, member or viewer")
	case "scope":
		if value != "" && !strings.ContainsAny(value, " \t\r\n") {
			return authn.Rule{Scope: value}, nil
		}
		return authn.Rule{}, errors.New("scope: want one scope; repeat scope= for more")
	}
	return authn.Rule{}, fmt.Errorf("%q is not known here: want role and scope", name)
}

// queryRequirements parses the requirements in the query of a request.
func queryRequirements(query string) ([]authn.Rule, error) {
	if query == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the query cannot be read")
	}
	delete(values, "access_token") // a denial by Credential, not an error
	return Requirements(values)
}
