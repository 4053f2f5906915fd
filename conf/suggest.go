package conf

import "strings"

// maxHints bounds the searches for a suggestion: a file that is no configuration at all has as many unknown words as it
// has lines.
const maxHints = 500

// nearest returns the candidate that word is most likely a misspelling of, or "".
func (d *decoder) nearest(word string, candidates []string) string {
	if d.hints++; d.hints > maxHints || len(word) > 64 {
		return ""
	}
	return nearest(word, candidates)
}

func nearest(word string, candidates []string) string {
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	best, limit := "", 1+len(word)/4
	if len(word) < 3 {
		limit = 0 // everything is close to a word that short
	}
	for _, c := range candidates {
		if gap := len(c) - len(word); gap > limit || -gap > limit {
			continue
		}
		if n := distance(word, strings.ToLower(c)); n <= limit {
			// An equal distance later on does not replace the first: candidates are sorted.
			best, limit = c, n-1
		}
		if limit < 0 {
			break
		}
	}
	return best
}

// distance returns how many insertions, deletions, replacements and swaps of neighbors make b of a (optimal string
// alignment).
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
