package conf

import (
	"fmt"
	"strings"

	"failoverd/failover"
)

// decoder turns statements into drafts.
type decoder struct {
	*reporter
	src  Source
	env  Env
	hash string
	// extra is what belongs to the configuration besides its text: the content of password files.
	extra []string

	global      globals
	instances   []*instance
	services    []*instance // anycast services
	groups      []*syncGroup
	scripts     []*script
	files       []*trackFile
	processes   []*process
	checks      []*healthCheck
	checkGroups []*checkGroup
	delays      []linkDelay
	static      kernelDrafts
	speakers    []*speaker
	sites       []*site
	watches     []*watch
	witness     *witnessServer

	defined map[[2]string]Token           // by kind and name
	given   map[place]Token               // keywords that have one value
	tracked map[failover.Tracker]*tracked // by kind and name
	uses    []failover.CommandUse

	queue     []Line                   // top-level lines still to be decoded
	elsewhere func(word string) string // where a keyword belongs
	toplevel  func(word string) bool   // whether it belongs at the top level
	hints     int                      // suggestions searched for
}

// define notes a name, and reports it if there is another one of its kind. word is what stands before it.
func (d *decoder) define(kind, word string, name Token) bool {
	id := [2]string{kind, name.Text}
	if first, twice := d.defined[id]; twice {
		d.errorf(name, "%s %s is defined twice, first at %s", word, name.Text, first.Pos)
		return false
	}
	d.defined[id] = name
	return true
}

// cursor walks over the words of a line. A keyword takes its values from it.
type cursor struct {
	keyword Token
	words   []Token
	inline  bool
	block   *Block // of the line's last statement; nil once taken
	// known reports whether a word is a keyword here.
	known func(Token) bool
	// head reports whether a word starts the next entry; nil: there are no entries.
	head func(Token) bool
}

func (c *cursor) more() bool { return len(c.words) > 0 }

// stop reports whether a word starts something new, so that no keyword before it takes it unless it must.
func (c *cursor) stop(w Token) bool { return c.known(w) || c.head != nil && c.head(w) }

// value reports whether there is a word that can be one more value.
func (c *cursor) value() bool { return c.more() && !c.stop(c.words[0]) }

// needed reports whether there is a word that can be the value that a keyword must have. It may look like the next
// entry: brd takes an address, and a label may be spelled like one.
func (c *cursor) needed() bool { return c.more() && !c.known(c.words[0]) }

func (c *cursor) take() Token {
	t := c.words[0]
	c.words = c.words[1:]
	return t
}

// rest takes the words up to the next one that starts something new.
func (c *cursor) rest() []Token {
	n := 0
	for n < len(c.words) && !c.stop(c.words[n]) {
		n++
	}
	out := c.words[:n]
	c.words = c.words[n:]
	return out
}

// skip drops what is left of a statement, with its block, which it reports.
func (c *cursor) skip() (words []Token, block *Block) {
	words = c.rest()
	if !c.more() {
		block, c.block = c.block, nil
	}
	return words, block
}

// walk decodes the statements of a block.
func walk[T any](d *decoder, t *table[T], to T, lines []Line) {
	for _, l := range lines {
		c := &cursor{words: l.Words, inline: l.Inline, block: l.Block}
		c.known = func(w Token) bool { return c.inline && !w.Quoted && t.has(w.Text) }
		for c.more() {
			statement(d, t, to, c)
		}
		d.noBlock(c)
	}
}

// noBlock reports a block that nobody took.
func (d *decoder) noBlock(c *cursor) {
	if c.block != nil {
		d.errorf(c.block.Open, "%s takes no block; it is skipped", c.keyword.Text)
	}
}

// statement decodes one keyword with its values and its block.
func statement[T any](d *decoder, t *table[T], to T, c *cursor) {
	c.keyword = c.take()
	r, ok := t.rows[c.keyword.Text]
	switch {
	case !ok || c.keyword.Quoted:
		unknown(d, t, c)
	case r.status != supported:
		d.undecoded(c.keyword, r.status, r.group, r.note)
		if r.valued && c.needed() {
			c.take()
		}
		c.skip()
	default:
		if r.once {
			d.again(to, c.keyword)
		}
		r.decode(d, to, c)
		if !t.exact { // there, a word too many is an unknown option
			d.surplus(c)
		}
	}
}

// again warns of a keyword that has had its value in this block.
func (d *decoder) again(block any, at Token) {
	k := place{block, at.Text}
	if first, twice := d.given[k]; twice {
		d.warnf(at, "%s replaces the one at %s", at.Text, first.Pos)
	}
	if d.given == nil {
		d.given = map[place]Token{}
	}
	d.given[k] = at
}

// place is a keyword in a block, which the draft that it is decoded into stands for.
type place struct {
	block any
	word  string
}

// surplus reports words that the keyword has no use for. keepalived ignores them without a word.
func (d *decoder) surplus(c *cursor) {
	if c.value() {
		words := c.rest()
		d.tolerablef(words[0], "unexpected %s after %s; each statement takes a line of its own", join(words), c.keyword.Text)
	}
}

// body takes the block of the keyword.
func (d *decoder) body(c *cursor) []Line {
	d.surplus(c)
	if c.more() || c.block == nil {
		d.errorf(c.keyword, "%s: its block { ... } is missing", c.keyword.Text)
		return nil
	}
	lines := c.block.Lines
	c.block = nil
	return lines
}

// undecoded reports a keyword that is known and not decoded.
func (d *decoder) undecoded(at Token, s status, group, note string) {
	if note != "" {
		note = ": " + note
	}
	switch s {
	case ignored:
		if group == "" {
			d.warnf(at, "%s is ignored%s", at.Text, note)
		} else if d.first(group) {
			d.warnf(at, "%s is ignored%s (said once for %s)", at.Text, note, group)
		}
	case later:
		d.errorf(at, "%s is not supported yet%s", at.Text, note)
	case harmless:
		d.tolerablef(at, "%s is not supported yet%s; the rest works without it", at.Text, note)
	case refused:
		d.errorf(at, "%s is refused%s", at.Text, note)
	case foreign:
		d.warnf(at, "%s is skipped%s", at.Text, note)
	default:
		panic(fmt.Sprintf("conf: keyword status %d", s))
	}
}

// unknown reports a keyword that is not in the table, and skips it with what belongs to it.
func unknown[T any](d *decoder, t *table[T], c *cursor) {
	if d.misplaced(c, t.name) {
		return
	}
	at := c.keyword
	words, blk := c.skip()
	switch {
	case t.exact:
		d.add(at, Error, false, d.nearest(at.Text, t.words),
			"unexpected %s %s", []any{join(append([]Token{at}, words...)), t.place})
	case strings.HasPrefix(at.Text, "include"):
		d.errorf(at, "%s must be the first word of its line", at.Text)
	case d.elsewhere(at.Text) != "":
		d.tolerablef(at, "%s belongs %s, not %s", at.Text, d.elsewhere(at.Text), t.place)
	case blk != nil:
		d.add(at, Error, true, d.nearest(at.Text, t.words), "unknown block %q %s; all of it is skipped", []any{at.Text, t.place})
	default:
		d.add(at, Error, true, d.nearest(at.Text, t.words), "unknown keyword %q %s", []any{at.Text, t.place})
	}
}

// misplaced handles a top-level block inside another one: most likely a brace is missing. It is decoded where it belongs.
func (d *decoder) misplaced(c *cursor, inside string) bool {
	if inside == rootName || c.block == nil || c.keyword.Quoted || !d.toplevel(c.keyword.Text) {
		return false
	}
	d.errorf(c.keyword, "%s inside %s: is a } missing before it?", c.keyword.Text, inside)
	d.queue = append(d.queue, Line{Words: append([]Token{c.keyword}, c.words...), Inline: c.inline, Block: c.block})
	c.words, c.block = nil, nil
	return true
}

// entries decodes a block of entries: each starts with a word of its own kind (head), and options of the table follow.
// Several may share a line only where the line has a brace.
func entries[T any](d *decoder, t *table[T], lines []Line, head func(string) bool, start func(*cursor) T) {
	for _, l := range lines {
		c := &cursor{words: l.Words, inline: l.Inline, block: l.Block}
		c.known = func(w Token) bool { return !w.Quoted && t.has(w.Text) }
		c.head = func(w Token) bool { return c.inline && head(w.Text) }
		for c.more() {
			c.keyword = c.take()
			if d.misplaced(c, t.name) {
				break
			}
			to := start(c)
			for c.more() && !c.head(c.words[0]) {
				if head(c.words[0].Text) {
					d.errorf(c.words[0], "unexpected %q after %s; each entry takes a line of its own", c.words[0].Text, c.keyword.Text)
					c.take()
					continue
				}
				statement(d, t, to, c)
			}
		}
		d.noBlock(c)
	}
}

// join returns words as they stood on their line, in quotes.
func join(words []Token) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = w.Text
	}
	return fmt.Sprintf("%q", strings.Join(s, " "))
}
