package heartbeat

// names is the table of the sites that a message names.
type names struct {
	list [MaxNames]string
	n    int
	used int // of a table that was read: how many have been referred to
	bad  bool
}

// add puts a name into the table, once. The empty name is in no table.
func (t *names) add(s string) {
	switch {
	case s == "" || t.index(s) != 0:
	case t.n == MaxNames || !validName(s):
		t.bad = true
	default:
		t.list[t.n] = s
		t.n++
	}
}

// index returns what a name is referred to by; 0: it is not in the table.
func (t *names) index(s string) byte {
	if s == "" {
		return 0
	}
	for i, have := range t.list[:t.n] {
		if have == s {
			return byte(i + 1)
		}
	}
	return 0
}

func (t *names) append(b []byte) []byte {
	b = append(b, byte(t.n))
	for _, s := range t.list[:t.n] {
		b = appendText(b, s)
	}
	return b
}

// read reads a table.
func (t *names) read(r *reader) {
	for range r.atMost(MaxNames) {
		before := t.n
		t.add(r.text())
		t.bad = t.bad || t.n == before // empty, or there already
	}
}

// name returns the name that index refers to. The table is in the order of first use, so that there is one way to write
// a message.
func (t *names) name(index byte) string {
	i := int(index)
	switch {
	case i == 0:
		return ""
	case i > t.n || i > t.used+1:
		t.bad = true
		return ""
	}
	t.used = max(t.used, i)
	return t.list[i-1]
}

// done reports whether everything about the table was as it must be.
func (t *names) done() bool { return !t.bad && t.used == t.n }
