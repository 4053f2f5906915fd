package integration

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpans(t *testing.T) {
	at := func(s int) time.Time {
		if s < 0 {
			return time.Time{}
		}
		return time.Unix(int64(1000+s), 0)
	}
	spans := func(ends ...int) (out []span) {
		for i := 0; i < len(ends); i += 2 {
			out = append(out, span{at(ends[i]), at(ends[i+1])})
		}
		return out
	}
	for _, c := range []struct {
		name         string
		list, others []span
		want         []span
	}{
		{"nothing to remove", spans(1, 5), nil, spans(1, 5)},
		{"the middle", spans(1, 9), spans(3, 4), spans(1, 3, 4, 9)},
		{"the end", spans(1, 9), spans(3, -1), spans(1, 3)},
		{"the begin", spans(1, 9), spans(0, 4), spans(4, 9)},
		{"all", spans(1, 9), spans(0, 10), nil},
		{"an open one", spans(1, -1), spans(3, 4), spans(1, 3, 4, -1)},
		{"before", spans(5, 6), spans(1, 2), spans(5, 6)},
		{"after", spans(1, 2), spans(5, -1), spans(1, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, without(c.list, c.others)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
	for _, c := range []struct {
		name string
		a, b []span
		want time.Duration
	}{
		{"apart", spans(1, 2), spans(3, 4), 0},
		{"touching", spans(1, 2), spans(2, 4), 0},
		{"overlapping", spans(1, 3), spans(2, 4), time.Second},
		{"the longest of two", spans(1, 3, 5, 9), spans(2, 4, 6, -1), 3 * time.Second},
		{"clipped", spans(0, -1), spans(0, -1), 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := together(c.a, c.b, at(0), at(10)); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
