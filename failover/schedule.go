package failover

import (
	"failoverd/vrrp"
)

// schedule is a binary heap of routers by the instant at which they next want to be looked at. Each router knows its
// place, so that moving one costs O(log n) and nothing is allocated.
type schedule []*router

// next returns the earliest instant in the heap.
func (s schedule) next() vrrp.Instant {
	if len(s) == 0 {
		return vrrp.Never
	}
	return s[0].due
}

// set puts r, which may be new to the heap, where its due belongs.
func (s *schedule) set(r *router, due vrrp.Instant) {
	if r.place < 0 {
		r.place = len(*s)
		*s = append(*s, r)
	} else if r.due == due {
		return
	}
	r.due = due
	s.up(r.place)
	s.down(r.place)
}

// remove takes r out.
func (s *schedule) remove(r *router) {
	if r.place < 0 {
		return
	}
	h, i, last := *s, r.place, len(*s)-1
	h.swap(i, last)
	*s = h[:last]
	r.place = -1
	if i < last {
		s.up(i)
		s.down(i)
	}
}

func (s schedule) swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}

func (s schedule) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if s[parent].due <= s[i].due {
			return
		}
		s.swap(i, parent)
		i = parent
	}
}

func (s schedule) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(s) {
			return
		}
		if r := child + 1; r < len(s) && s[r].due < s[child].due {
			child = r
		}
		if s[i].due <= s[child].due {
			return
		}
		s.swap(i, child)
		i = child
	}
}
