package placement

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names. They bound a log record and an index page; a name that needs more carries data.
const (
	// KindBytesMax is the length of the longest kind, in bytes.
	KindBytesMax = 64
	// KeyBytesMax is the length of the longest key, in bytes. Not larger: a page of the index holds whole
	// records, and copying a page is the price of an update.
	KeyBytesMax = 512
)

// Identity is the name of one virtual actor. Two identities are the same when both parts are equal byte for
// byte; there is no normalisation.
type Identity struct {
	// Kind is the type of the activation, 1 to KindBytesMax bytes: an ASCII letter or digit, then ASCII
	// letters, digits, '.', '_' or '-'.
	Kind string
	// Key names one activation of the kind, 1 to KeyBytesMax bytes of UTF-8 without control characters. It
	// may contain slashes.
	Key string
}

// ParseIdentity reads the text form kind/key. The first slash separates the two; later slashes belong to the
// key. The error is an *IdentityError that says which rule is broken.
func ParseIdentity(s string) (Identity, error) {
	kind, key, ok := strings.Cut(s, "/")
	if !ok {
		return Identity{}, &IdentityError{Text: s, Rule: "an identity is kind/key, for example cart/42: there is no slash"}
	}
	id := Identity{Kind: kind, Key: key}
	return id, id.Validate()
}

// String is the text form kind/key, which ParseIdentity reads back.
func (id Identity) String() string { return id.Kind + "/" + id.Key }

// Compare orders identities by kind, then by key, byte by byte. It is negative, zero or positive like cmp.Compare.
func (id Identity) Compare(other Identity) int {
	if c := cmp.Compare(id.Kind, other.Kind); c != 0 {
		return c
	}
	return cmp.Compare(id.Key, other.Key)
}

// Validate reports the first rule that the identity breaks, as an *IdentityError; nil when it breaks none.
func (id Identity) Validate() error {
	if rule := kindRule(id.Kind); rule != "" {
		return &IdentityError{Text: id.String(), Rule: rule}
	}
	if rule := keyRule(id.Key); rule != "" {
		return &IdentityError{Text: id.String(), Rule: rule}
	}
	return nil
}

// ValidateKind reports the rule that a kind breaks, as an *IdentityError; nil when it breaks none.
func ValidateKind(kind string) error {
	if rule := kindRule(kind); rule != "" {
		return &IdentityError{Text: kind, Rule: rule}
	}
	return nil
}

func kindRule(kind string) string {
	if kind == "" {
		return "the kind is empty"
	}
	if len(kind) > KindBytesMax {
		return fmt.Sprintf("the kind has %d bytes, at most %d are allowed", len(kind), KindBytesMax)
	}
	for i := 0; i < len(kind); i++ {
		if !nameByte(kind[i], i == 0) {
			return fmt.Sprintf("the kind has %q at byte %d: a kind is an ASCII letter or digit, then letters, digits, '.', '_' or '-'", kind[i], i)
		}
	}
	return ""
}

// nameByte says whether b may stand in a kind or a member's name.
func nameByte(b byte, first bool) bool {
	switch {
	case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		return true
	case b == '.', b == '_', b == '-':
		return !first
	}
	return false
}

func keyRule(key string) string { return textRule("the key", key, KeyBytesMax) }

// textRule is the rule of keys and of other names that are free: 1 to most bytes of UTF-8 without control characters. what
// is the subject of the sentence that says which part of it is broken.
func textRule(what, text string, most int) string {
	if text == "" {
		return what + " is empty"
	}
	if len(text) > most {
		return fmt.Sprintf("%s has %d bytes, at most %d are allowed", what, len(text), most)
	}
	for i := 0; i < len(text); i++ {
		if b := text[i]; b < 0x20 || b >= 0x7f {
			return textRuleUnicode(what, text)
		}
	}
	return ""
}

// textRuleUnicode checks a text that is not plain printable ASCII.
func textRuleUnicode(what, text string) string {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
				return fmt.Sprintf("%s is not valid UTF-8 at byte %d", what, i)
			}
		}
		if unicode.IsControl(r) {
			return fmt.Sprintf("%s has the control character %U at byte %d", what, r, i)
		}
	}
	return ""
}
