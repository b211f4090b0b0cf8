// Package underrace says whether tests run with the race detector, under which they take five to ten times as long.
//
// The detector goes by what happens before what. It sees that in the first rounds of a test as well as in the last, so with it
// fewer are made. Whatever a number of rounds is to show, as that a percentile is small or that an error is rare, is judged by
// the same tests without it, which make them all.
package underrace

// Rounds is how many rounds a test makes, or how many seeds it draws: all of them, or few under the race detector.
func Rounds(all, few int) int {
	if On {
		return few
	}
	return all
}
