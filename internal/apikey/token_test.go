// SPDX-License-Identifier: Apache-2.0

package apikey_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kaana/apikey-operator/internal/apikey"
)

func format(t testing.TB) apikey.Format {
	t.Helper()
	f, err := apikey.NewFormat(apikey.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mint(t testing.TB) apikey.Token {
	t.Helper()
	token, err := format(t).Mint(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAMintedTokenHasTheDocumentedShapeAndIsFoundByItsDigest(t *testing.T) {
	shape := regexp.MustCompile(`^kaana_[0-9A-Za-z]{49}$`)
	seen := map[string]bool{}
	for range 1000 {
		token := mint(t)
		plain := token.Reveal()
		if !shape.MatchString(plain) {
			t.Fatalf("a token does not match %v", shape)
		}
		if seen[plain] {
			t.Fatal("a token was minted twice")
		}
		seen[plain] = true
		if digest, ok := format(t).Digest(plain); !ok || digest != token.Digest() {
			t.Fatal("a minted token is not found by its digest")
		}
	}
}

func TestTheChecksumIsCRC32IEEEInBase62(t *testing.T) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	plain := mint(t).Reveal()
	body, sum := plain[:len(plain)-6], uint64(0)
	for _, c := range plain[len(plain)-6:] {
		sum = sum*62 + uint64(strings.IndexRune(alphabet, c))
	}
	if want := uint64(crc32.ChecksumIEEE([]byte(body))); sum != want {
		t.Fatalf("checksum %d, want %d", sum, want)
	}
}

func TestEntropyZeroAndAllOnesKeepTheWidth(t *testing.T) {
	for _, b := range []byte{0, 0xff} {
		token, err := format(t).Mint(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(token.Reveal()); got != len("kaana_")+49 {
			t.Errorf("entropy %#x: %d characters", b, got)
		}
	}
}

func TestMintFailsWithoutEntropy(t *testing.T) {
	if _, err := format(t).Mint(iotest.ErrReader(iotest.ErrTimeout)); err == nil {
		t.Fatal("minted a token from a broken reader")
	}
	if _, err := format(t).Mint(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Fatal("minted a token from 31 bytes")
	}
}

func TestAnySingleChangeToATokenIsRefusedWithoutALookUp(t *testing.T) {
	plain := mint(t).Reveal()
	f := format(t)
	for i := len("kaana_"); i < len(plain); i++ {
		for _, c := range []byte{'0', 'z', ' ', '_', 0, 0x80} {
			if plain[i] == c {
				continue
			}
			changed := plain[:i] + string([]byte{c}) + plain[i+1:]
			if _, ok := f.Digest(changed); ok {
				t.Fatalf("a token with %q at %d passes", c, i)
			}
		}
	}
	for name, changed := range map[string]string{
		"an extra character": plain + "x", "one missing": plain[:len(plain)-1], "the prefix alone": "kaana_",
		"one digit more with a right checksum": plain[:49] + "0" + checksum(plain[:49]+"0"),
		"a space inside":                       plain[:20] + " " + plain[20:], "a line break behind": plain + "\n",
	} {
		if _, ok := f.Digest(changed); ok {
			t.Errorf("%s passes", name)
		}
	}
}

func TestImportedKeysOfAnyOtherShapeAreLookedUp(t *testing.T) {
	f := format(t)
	for _, s := range []string{"sk_live_1", "KAANA_x", "kaana", "x", strings.Repeat("a", apikey.MaxTokenBytes)} {
		if digest, ok := f.Digest(s); !ok || digest != apikey.DigestOf(s) {
			t.Errorf("%.20q… is not looked up", s)
		}
	}
	for _, s := range []string{"", strings.Repeat("a", apikey.MaxTokenBytes+1)} {
		if _, ok := f.Digest(s); ok {
			t.Errorf("%d bytes are looked up", len(s))
		}
	}
}

func TestLookingUpATokenAllocatesNothing(t *testing.T) {
	f, plain := format(t), mint(t).Reveal()
	if n := testing.AllocsPerRun(100, func() { f.Digest(plain) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestPrefixesAreOneToSixteenLowerCaseLettersAndDigits(t *testing.T) {
	for prefix, ok := range map[string]bool{
		"kaana": true, "k": true, "a234567890123456": true,
		"": false, "a2345678901234567": false, "Kaana": false, "1a": false, "a_b": false, "ä": false,
	} {
		if _, err := apikey.NewFormat(prefix); (err == nil) != ok {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}

func TestATokenRedactsItselfEverywhere(t *testing.T) {
	token := mint(t)
	type holder struct {
		Exported apikey.Token
		hidden   apikey.Token
		pointer  *apikey.Token
	}
	var log bytes.Buffer
	for _, logger := range []*slog.Logger{slog.New(slog.NewJSONHandler(&log, nil)), slog.New(slog.NewTextHandler(&log, nil))} {
		logger.Info("x", "token", token, "pointer", &token, "holder", holder{token, token, &token})
	}
	asJSON, err := json.Marshal(map[string]any{"token": token, "holder": holder{token, token, &token}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p", "%T"} {
		fmt.Fprintf(&out, verb+verb+verb, token, &token, holder{token, token, &token})
	}
	for where, text := range map[string]string{
		"log": log.String(), "JSON": string(asJSON), "fmt": out.String(), "error": fmt.Errorf("x: %v", token).Error(),
	} {
		for _, form := range []string{token.Reveal(), fmt.Sprintf("%x", token.Reveal())} {
			if strings.Contains(text, form) {
				t.Errorf("%s holds the token", where)
			}
		}
	}
	if !strings.Contains(log.String(), "redacted") {
		t.Error("the log does not say that a token was redacted")
	}
}

func TestDigestsAreReadAsTheyAreWritten(t *testing.T) {
	digest := apikey.DigestOf("x")
	if got, err := apikey.ParseDigest(digest.String()); err != nil || got != digest {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"", digest.String()[1:], strings.ToUpper(digest.String()), strings.Repeat("g", 64)} {
		if _, err := apikey.ParseDigest(bad); err == nil {
			t.Errorf("%q is a digest", bad)
		}
	}
}

// FuzzDigest holds the parser to its meaning: a string with our prefix passes exactly when its
// checksum, computed by other means, is right.
func FuzzDigest(f *testing.F) {
	f.Add("kaana_")
	f.Add(mint(f).Reveal())
	f.Add("anything else")
	shape := regexp.MustCompile(`^kaana_[0-9A-Za-z]{49}$`)
	form := format(f)
	f.Fuzz(func(t *testing.T, s string) {
		_, ok := form.Digest(s)
		want := s != "" && len(s) <= apikey.MaxTokenBytes
		if strings.HasPrefix(s, "kaana_") {
			want = shape.MatchString(s) && len(s) == 55 && checksum(s[:49]) == s[49:]
		}
		if ok != want {
			t.Fatalf("Digest(%q) = %v, want %v", s, ok, want)
		}
	})
}

func checksum(body string) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, out := crc32.ChecksumIEEE([]byte(body)), [6]byte{}
	for i := 5; i >= 0; i-- {
		out[i] = alphabet[sum%62]
		sum /= 62
	}
	return string(out[:])
}
