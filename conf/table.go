package conf

import (
	"maps"
	"slices"
)

// status says what becomes of a keyword.
type status uint8

const (
	// supported keywords are decoded.
	supported status = iota
	// ignored keywords change nothing; the first of each group is warned about.
	ignored
	// later keywords are not supported yet: an error, because ignoring them would change what the node does.
	later
	// harmless keywords are not supported yet, but a node does its work without: a warning at start.
	harmless
	// refused keywords are never going to be supported.
	refused
	// foreign blocks belong to another program: skipped whole, with a warning.
	foreign
)

// row is one keyword of a table.
type row[T any] struct {
	name   string
	status status
	// group makes one warning of several ignored keywords.
	group string
	// note says why, or what to do instead.
	note string
	// valued: a keyword that is not decoded takes a value, whatever that looks like.
	valued bool
	// once: the keyword has one value in a block. keepalived takes the last one without a word, and so do we, with a warning.
	once   bool
	decode func(d *decoder, to T, c *cursor)
}

// table holds the keywords that may stand in one kind of block, and decodes into a T.
type table[T any] struct {
	name  string
	place string // "in NAME", as messages say it
	rows  map[string]row[T]
	words []string // sorted
	// exact: an unknown word is an error whatever the options. So it is inside of entries, where the word before or
	// behind it would change its meaning.
	exact bool
}

func newTable[T any](name string, groups ...[]row[T]) *table[T] {
	t := &table[T]{name: name, place: "in " + name, rows: map[string]row[T]{}}
	if name == rootName {
		t.place = "at " + name
	}
	for _, rows := range groups {
		for _, r := range rows {
			if _, dup := t.rows[r.name]; dup {
				panic("conf: keyword " + r.name + " twice in " + name)
			}
			t.rows[r.name] = r
		}
	}
	t.words = slices.Sorted(maps.Keys(t.rows))
	return t
}

// inEntries makes the table one of options of an entry.
func (t *table[T]) inEntries() *table[T] {
	t.exact = true
	return t
}

func (t *table[T]) has(word string) bool { _, ok := t.rows[word]; return ok }

// word is a supported keyword.
func word[T any](name string, decode func(*decoder, T, *cursor)) row[T] {
	return row[T]{name: name, decode: decode}
}

// single is a supported keyword that has one value, so that a second one in the same block replaces the first.
func single[T any](name string, decode func(*decoder, T, *cursor)) row[T] {
	return row[T]{name: name, once: true, decode: decode}
}

// accepted is a keyword with at most n values that says what failoverd does anyway, or concerns something that it has no
// need of.
func accepted[T any](name string, n int) row[T] {
	return word(name, func(_ *decoder, _ T, c *cursor) {
		for i := 0; i < n && c.value(); i++ {
			c.take()
		}
	})
}

// all gives several keywords one status, group and note.
func all[T any](s status, group, note string, names ...string) []row[T] {
	rows := make([]row[T], len(names))
	for i, n := range names {
		rows[i] = row[T]{name: n, status: s, group: group, note: note}
	}
	return rows
}

// contexts are the tables that a word may belong to that is unknown where it stands, in order of preference.
var contexts []interface {
	has(word string) bool
	where() string
}

func init() {
	contexts = append(contexts, rootWords, globalWords, instanceWords, anycastWords, hmacWords, groupWords, scriptWords, fileWords, processWords, checkWords, checkGroupWords, httpWords, routeWords, dnsWords, grpcWords,
		prometheusWords, speakerWords, tlsWords, neighborWords, siteWords, watchWords, witnessServerWords)
}

func (t *table[T]) where() string { return t.place }

// contextOf returns where a keyword belongs that is unknown where it stands, or "".
func contextOf(word string) string {
	for _, t := range contexts {
		if t.has(word) {
			return t.where()
		}
	}
	return ""
}
