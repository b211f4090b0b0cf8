package placement

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ReasonBytesMax is the length of the longest text that says why something was done or failed, in bytes.
const ReasonBytesMax = 255

// ValidateText reports the rule that a text for people breaks, as an error; nil when it breaks none. It may be empty, has
// at most limit bytes, and is UTF-8 without control characters.
func ValidateText(text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("%d bytes, at most %d are allowed", len(text), limit)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s is not valid UTF-8", quoted(text))
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("%s has a control character", quoted(text))
	}
	return nil
}

// FitText makes a text of any bytes one that ValidateText takes: what is not allowed becomes a space or a mark, and what
// is too long is cut between two characters.
func FitText(text string, limit int) string {
	text = text[:min(len(text), 4*limit)] // enough for what follows, whatever else there is
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	for len(text) > limit {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}
