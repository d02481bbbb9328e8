// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
)

// row is one token to import. It has no plaintext.
type row struct {
	line   int
	digest apikey.Digest

	name, hint, description, role string
	scopes                        []string
	owner                         *v1alpha1.Owner
	expires                       *metav1.Time
}

// inputFormat says what the lines of the input are, and completes what they omit.
type inputFormat struct {
	digests, tokens  bool
	role, namePrefix string
}

const (
	nameDigits = 20 // of a digest: 80 bits, so that names are unique among millions
	hintDigits = 4
	minToken   = 20 // characters: fewer have less than 128 random bits, and four of them are shown
)

var csvColumns = []string{"token", "sha256", "name", "description", "role", "scopes", "owner", "ownerID", "expiresAt",
	"hint"}

// read reads all rows, and counts the lines that repeat an earlier one. A problem names the line and never quotes it:
// it may be a token.
func (s inputFormat) read(in io.Reader, format apikey.Format) (rows []row, repeats int, problems []error) {
	lines := s.csv
	if s.digests || s.tokens {
		lines = s.plain
	}
	seen, names := map[apikey.Digest]bool{}, map[string]int{}
	err := lines(in, func(line int, fields map[string]string) {
		r, err := s.row(line, fields, format)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("line %d: %w", line, err))
		case seen[r.digest]:
			repeats++
		case names[r.name] > 0:
			problems = append(problems, fmt.Errorf("line %d: line %d has the same name", line, names[r.name]))
		default:
			seen[r.digest], names[r.name] = true, line
			rows = append(rows, r)
		}
	})
	if err != nil {
		problems = append(problems, err)
	}
	return rows, repeats, problems
}

// plain yields lines of one value. Empty lines and those that start with # are skipped.
func (s inputFormat) plain(in io.Reader, yield func(int, map[string]string)) error {
	column := "token"
	if s.digests {
		column = "sha256"
	}
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 2*apikey.MaxTokenBytes)
	line := 0
	for scanner.Scan() {
		line++
		if text := strings.TrimSpace(scanner.Text()); text != "" && !strings.HasPrefix(text, "#") {
			yield(line, map[string]string{column: text})
		}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d: longer than %d bytes, the maximum of a token", line+1, apikey.MaxTokenBytes)
	}
	return scanner.Err() //nolint:wrapcheck // of standard input
}

var errNoFormat = errors.New("line 1: no column is named token or sha256; if the input is not CSV, " +
	"give --digests or --tokens")

// csv yields the rows of a table whose first line names its columns (RFC 4180).
func (s inputFormat) csv(in io.Reader, yield func(int, map[string]string)) error {
	reader := csv.NewReader(in)
	head, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil || !slices.Contains(head, "token") && !slices.Contains(head, "sha256") {
		return errNoFormat
	}
	for _, name := range head {
		if !slices.Contains(csvColumns, name) {
			return fmt.Errorf("line 1: unknown column %q; want %s", name, strings.Join(csvColumns, ", "))
		}
	}
	for {
		fields, err := reader.Read()
		if err != nil {
			return csvError(err)
		}
		line, _ := reader.FieldPos(0)
		values := map[string]string{}
		for i, v := range fields {
			values[head[i]] = strings.TrimSpace(v)
		}
		yield(line, values)
	}
}

// csvError returns why the input cannot be read further, and nil at its end.
func csvError(err error) error {
	var wrong *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &wrong): // its own text may quote the line
		return fmt.Errorf("line %d: %w", wrong.Line, wrong.Err)
	}
	return err
}

func (s inputFormat) row(line int, f map[string]string, format apikey.Format) (row, error) {
	r := row{line: line, name: f["name"], description: f["description"], role: f["role"],
		scopes: strings.Fields(f["scopes"])}
	var err error
	if r.digest, r.hint, err = s.digestAndHint(f, format); err != nil {
		return row{}, err
	}
	if r.name == "" {
		r.name = s.namePrefix + r.digest.String()[:nameDigits]
	}
	if len(validation.IsDNS1123Subdomain(r.name)) > 0 {
		return row{}, errors.New("name: want lower-case letters, digits, dashes and dots")
	}
	if r.role == "" {
		r.role = s.role
	}
	if !slices.Contains(roles, r.role) {
		return row{}, errRole
	}
	if (f["owner"] == "") != (f["ownerID"] == "") {
		return row{}, errors.New("owner and ownerID belong together: give both or neither")
	}
	if f["owner"] != "" {
		r.owner = &v1alpha1.Owner{ID: f["ownerID"], Username: f["owner"]}
	}
	if f["expiresAt"] != "" {
		at, err := time.Parse(time.RFC3339, f["expiresAt"])
		if err != nil {
			return row{}, errors.New("expiresAt: want a time like 2027-01-01T00:00:00Z")
		}
		r.expires = &metav1.Time{Time: at}
	}
	return r, nil
}

var errDigest = errors.New("this is like a SHA-256 digest: give --digests if it is one; " +
	"if it is a token, give a CSV with a column token")

// notAToken says why a string, which is long enough, is not a token as a client sends it; nil: it may be one.
func notAToken(text string) error {
	switch {
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }):
		return errors.New("the token has a space, or a character that an Authorization header cannot have; " +
			"give the token alone, without Bearer")
	case strings.ContainsAny(text, "\"'`"), strings.HasSuffix(text, ","), strings.HasSuffix(text, ";"):
		return errors.New("the token has a quote, or ends with a comma or semicolon: give the token alone")
	case strings.HasPrefix(text, "$") && strings.Count(text, "$") > 1, strings.HasPrefix(text, "{"),
		strings.HasPrefix(strings.ToLower(text), "sha256:"):
		return errors.New("this is like a hash of a token, such as bcrypt: only tokens and SHA-256 digests can be imported")
	}
	return nil
}

// digestAndHint returns the digest of a line, and a hint that helps people to recognise the token.
func (s inputFormat) digestAndHint(f map[string]string, format apikey.Format) (apikey.Digest, string, error) {
	hint := f["hint"]
	if f["sha256"] != "" {
		d, err := apikey.ParseDigest(f["sha256"])
		if err != nil {
			return d, "", errors.New("want 64 lower-case hexadecimal digits of SHA-256")
		}
		return d, hint, nil
	}
	token := f["token"]
	d, ok := format.Digest(token)
	if _, err := apikey.ParseDigest(token); err == nil && s.tokens {
		return d, "", errDigest
	}
	switch {
	case token == "":
		return d, "", errors.New("token and sha256 are both empty: give one of them")
	case len(token) < minToken:
		return d, "", fmt.Errorf("the token is shorter than %d characters: import only random tokens, "+
			"not passwords", minToken)
	case notAToken(token) != nil:
		return d, "", notAToken(token)
	case !ok:
		return d, "", fmt.Errorf("the token starts like a token of this installation but is incomplete, "+
			"or is longer than %d bytes", apikey.MaxTokenBytes)
	}
	if hint == "" {
		hint = "…" + token[len(token)-hintDigits:]
	}
	return d, hint, nil
}

// manifest returns the ApiKey of a row.
func (r row) manifest(namespace string) *v1alpha1.ApiKey {
	o := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: r.name}}
	o.Spec = v1alpha1.ApiKeySpec{State: v1alpha1.KeyActive, Description: r.description, Role: v1alpha1.Role(r.role),
		Owner: r.owner, ExpiresAt: r.expires, Digests: []v1alpha1.Digest{{SHA256: r.digest.String(), Hint: r.hint}}}
	for _, scope := range r.scopes {
		o.Spec.Scopes = append(o.Spec.Scopes, v1alpha1.Scope(scope))
	}
	return o
}
