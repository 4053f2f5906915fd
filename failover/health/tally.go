package health

// tally makes a verdict of single results, as keepalived's rise and fall do: the first result counts at once, and then
// the verdict changes after rise successes or fall failures in a row.
type tally struct {
	rise, fall int
	// known: there is a verdict, and ok is it. A script with init_fail starts with a known failure.
	known, ok bool

	last bool // the last result
	row  int  // how many equal results there were in a row; 0: none yet
}

// add counts a result and reports whether it made the verdict, or changed it.
func (t *tally) add(ok bool) bool {
	if t.row > 0 && t.last == ok {
		t.row++
	} else {
		t.last, t.row = ok, 1
	}
	if !t.known {
		t.known, t.ok = true, ok
		return true
	}
	need := t.fall
	if ok {
		need = t.rise
	}
	if ok == t.ok || t.row < need {
		return false
	}
	t.ok = ok
	return true
}
