package placement

import (
	"errors"
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	long := strings.Repeat("k", KeyBytesMax)
	tests := []struct {
		text, kind, key string
		rule            string // part of the rule that is broken; empty when none is
	}{
		{text: "cart/42", kind: "cart", key: "42"},
		{text: "file/src/fmt/print.go", kind: "file", key: "src/fmt/print.go"},
		{text: "a//b", kind: "a", key: "/b"},
		{text: "cart/日本語 🙂", kind: "cart", key: "日本語 🙂"},
		{text: "cart/ü:place", kind: "cart", key: "ü:place"},
		{text: "k/" + long, kind: "k", key: long},
		{text: "k/" + long + "x", rule: "the key has 513 bytes"},
		{text: strings.Repeat("k", KindBytesMax) + "/x", kind: strings.Repeat("k", KindBytesMax), key: "x"},
		{text: strings.Repeat("k", KindBytesMax+1) + "/x", rule: "the kind has 65 bytes"},
		{text: "", rule: "there is no slash"},
		{text: "cart", rule: "there is no slash"},
		{text: "/42", rule: "the kind is empty"},
		{text: "cart/", rule: "the key is empty"},
		{text: "-cart/1", rule: `the kind has '-' at byte 0`},
		{text: "ca rt/1", rule: `the kind has ' ' at byte 2`},
		{text: "cärt/1", rule: "the kind has"},
		{text: "cart/a\x00b", rule: "control character U+0000 at byte 1"},
		{text: "cart/a\nb", rule: "control character U+000A"},
		{text: "cart/\u0085", rule: "control character U+0085"},
		{text: "cart/a\xff", rule: "not valid UTF-8 at byte 1"},
		{text: "cart/\uFFFD", kind: "cart", key: "\uFFFD"},
	}
	for _, tt := range tests {
		id, err := ParseIdentity(tt.text)
		if tt.rule == "" {
			if err != nil || id.Kind != tt.kind || id.Key != tt.key || id.String() != tt.text {
				t.Errorf("ParseIdentity(%q) = %+v, %v, want kind %q, key %q", tt.text, id, err, tt.kind, tt.key)
			}
			continue
		}
		var ie *IdentityError
		if !errors.As(err, &ie) || !strings.Contains(ie.Rule, tt.rule) {
			t.Errorf("ParseIdentity(%q) = %v, want an IdentityError with %q", tt.text, err, tt.rule)
		}
	}
}

func TestIdentityError_LongAndHostileText_IsCutAndQuoted(t *testing.T) {
	_, err := ParseIdentity("k/" + strings.Repeat("\x1b[31m", 200))
	if err == nil || len(err.Error()) > 500 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("error is %q, want one that is short and has no escape", err)
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"cart/42", "a/b/c", "/", "", "k/\x00", "k/\xff", "é/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err != nil {
			return
		}
		if id.String() != s {
			t.Fatalf("ParseIdentity(%q).String() = %q", s, id.String())
		}
		if len(id.Kind) == 0 || len(id.Kind) > KindBytesMax || len(id.Key) == 0 || len(id.Key) > KeyBytesMax {
			t.Fatalf("ParseIdentity(%q) let a part of the wrong length pass", s)
		}
	})
}
