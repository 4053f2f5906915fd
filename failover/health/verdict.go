package health

import (
	"time"
)

// result is what one run of a health check has shown.
type result uint8

const (
	good  result = iota
	bad          // the target does not do what it should
	blind        // this node cannot look
)

// verdict makes a verdict of single results. The first result counts at once. Then it takes rise good ones in a row to make
// it good, and fall others in a row to leave good: to bad if all of these are bad, to blind if this node could not look at
// some of them. A bad one is blind from the first result on that says so, and it takes fall bad results to be bad again: a
// target that nobody looked at must not count as down.
type verdict struct {
	rise, fall int
	known      bool
	is         result

	last  result    // the last result
	row   int       // how many equal results there were in a row
	other int       // how many in a row were not good
	began time.Time // when the first run of the row began
}

// add counts the result of a run that began at the given time, and reports whether it made the verdict, or changed it.
func (v *verdict) add(r result, at time.Time) (changed bool) {
	if v.row == 0 || v.last != r {
		v.last, v.row, v.began = r, 0, at
	}
	v.row++
	if v.other++; r == good {
		v.other = 0
	}
	is := v.next(r)
	changed = !v.known || is != v.is
	v.known, v.is = true, is
	return changed
}

// next returns the verdict that follows from a result which has been counted.
func (v *verdict) next(r result) result {
	switch {
	case !v.known:
		return r
	case r == good && v.row >= v.rise:
		return good
	case r == bad && v.row >= v.fall:
		return bad
	case v.is == good && v.other >= v.fall, v.is == bad && r == blind:
		return blind
	}
	return v.is
}

// turning reports whether the last result speaks against the verdict, so that it is about to change.
func (v *verdict) turning() bool { return v.known && v.last != v.is }

// begin makes a verdict of nothing, which the results that follow are held against.
func (v *verdict) begin(r result, at time.Time) {
	v.known, v.is, v.last, v.row, v.began = true, r, r, 0, at
}
