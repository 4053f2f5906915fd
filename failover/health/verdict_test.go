package health

import (
	"strings"
	"testing"
	"time"
)

// Results and verdicts in letters: + good, - bad, ? blind. Rise is 2, fall is 3.
func TestVerdict(t *testing.T) {
	letters := "+-?"
	for _, tt := range []struct{ name, results, verdicts, turning string }{
		{"the first result counts at once", "+", "+", "."},
		{"a failure as well", "-", "-", "."},
		{"and that this node cannot look", "?", "?", "."},
		{"fall in a row", "+--+---", "++++++-", ".xx.xx."},
		{"rise in a row", "-+-++", "----+", ".x.x."},
		{"blind results are failures, too", "+???", "+++?", ".xx."},
		{"a mixed row says that nobody knows", "+--?", "+++?", ".xx."},
		{"and bad ones after it must be a whole row", "+--?---", "+++???-", ".xx.xx."},
		{"blind in the middle", "+-?---", "+++?" + "?-", ".xxxx."},
		{"one look that fails takes a bad verdict back", "-?---", "-???-", "..xx."},
		{"from blind to good", "?+-++", "????+", ".xxx."},
	} {
		v := verdict{rise: 2, fall: 3}
		var verdicts, turning strings.Builder
		for i, c := range tt.results {
			before := v
			changed := v.add(result(strings.IndexRune(letters, c)), time.Unix(int64(i), 0))
			if changed != (!before.known || before.is != v.is) {
				t.Errorf("%s: result %d: changed %v, %+v after %+v", tt.name, i, changed, v, before)
			}
			verdicts.WriteByte(letters[v.is])
			turning.WriteByte(".x"[map[bool]int{true: 1}[v.turning()]])
		}
		if verdicts.String() != tt.verdicts || turning.String() != tt.turning {
			t.Errorf("%s: %s gives %s, turning %s, want %s and %s", tt.name, tt.results, verdicts.String(), turning.String(), tt.verdicts, tt.turning)
		}
		if first := len(tt.results) - v.row; v.began != time.Unix(int64(first), 0) {
			t.Errorf("%s: the row began with result %d, want %d", tt.name, v.began.Unix(), first)
		}
	}
}
