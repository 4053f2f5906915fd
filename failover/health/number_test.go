package health

import (
	"math"
	"testing"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          int
		odd           bool
	}{
		{"a number", "12\n", 12, false},
		{"without a line end", "12", 12, false},
		{"blanks before it", " \t\r\n 7", 7, false},
		{"negative", "-3\n", -3, false},
		{"with a plus sign", "+3\n", 3, false},
		{"nothing", "", 0, false},
		{"blanks only", " \n", 0, false},
		{"words", "maintenance\n", 0, true},
		{"a sign only", "-", 0, true},
		{"two signs", "--1", 0, true},
		{"words after the number", "5 because of works", 5, true},
		{"words after zero", "0 words", 0, true},
		{"a decimal point", "1.9", 1, true},
		{"a second number", "1\n2\n", 1, true},
		{"as large as 32 bits", "2147483647", math.MaxInt32, false},
		{"larger", "2147483648", math.MaxInt32, true},
		{"much larger", "99999999999999999999999999", math.MaxInt32, true},
		{"much smaller", "-99999999999999999999999999", math.MinInt32, true},
		{"NUL octets", "\x00\x00", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, odd, ok := number(c.content)
			if got != c.want || (odd != "") != c.odd || ok != (got != 0 || c.content == "0 words") {
				t.Errorf("%q: got %d, %q, %v", c.content, got, odd, ok)
			}
		})
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"", "1", "-1 ", "x", "+\x00", "2147483648", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, odd, ok := number(s)
		if n != 0 && !ok {
			t.Errorf("%q: %d, and no number", s, n)
		}
		if n > math.MaxInt32 || n < math.MinInt32 {
			t.Errorf("%q: %d does not fit into 32 bits", s, n)
		}
		if len(odd) > 8*maxWords+len(s) {
			t.Errorf("%q: %d octets of complaint", s, len(odd))
		}
		if r := newReading(s, nil); r.cause == "" {
			t.Errorf("%q: no words", s)
		}
	})
}
