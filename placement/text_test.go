package placement

import (
	"strings"
	"testing"
)

func TestFitText_AnyBytes_AreAllowed(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "disk full": "disk full", "a\nb\x1b[1m": "a b [1m", "\xff\xfe!": "\uFFFD!", strings.Repeat("x", 300): strings.Repeat("x", 10),
		"123456789ü": "123456789", "12345678ü": "12345678ü", strings.Repeat("\xff", 4) + "z": "\uFFFDz", "日本語日本語": "日本語",
	} {
		if err := ValidateText(want, 10); err != nil {
			t.Errorf("%q is refused: %v", want, err)
		}
		if got := FitText(text, 10); got != want {
			t.Errorf("FitText(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestValidateText_Refusals(t *testing.T) {
	for text, want := range map[string]string{
		"12345678901": "11 bytes, at most 10 are allowed", "a\x00": "control character", "a\u0085": "control character", "\xff": "not valid UTF-8",
	} {
		if err := ValidateText(text, 10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzFitText(f *testing.F) {
	f.Add("a\xffb\n日", 7)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = min(max(limit, 0), 1000)
		if err := ValidateText(FitText(text, limit), limit); err != nil {
			t.Errorf("FitText(%q, %d): %v", text, limit, err)
		}
	})
}
