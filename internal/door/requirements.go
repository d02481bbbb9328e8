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
	unlimited, err := explicit(values)
	if err != nil {
		return nil, err
	}
	for name, list := range values {
		if name == "explicit" {
			continue
		}
		for _, v := range list {
			rule, err := requirement(name, v)
			if err != nil {
				return nil, err
			}
			if rule.Scope != "" {
				rule.Unlimited = unlimited
			}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// explicit returns the role from which on a caller without a limit in scope has every scope: any, or none with
// explicit=true.
func explicit(values url.Values) (authn.Role, error) {
	list, ok := values["explicit"]
	switch {
	case !ok:
		return authn.NoRole, nil
	case len(list) != 1 || list[0] != "true":
		return authn.NoRole, errors.New("explicit: want true, or leave it out")
	}
	return authn.Admin + 1, nil
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
	return authn.Rule{}, fmt.Errorf("%q is not known here: want role, scope and explicit", name)
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
