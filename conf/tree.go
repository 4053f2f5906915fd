package conf

import (
	"encoding/hex"
	"hash"
)

// Block is what stands between two braces: statements, in order.
type Block struct {
	Open  Token // its {
	Lines []Line
}

// Line is one statement, or several when it shares its line of text with a brace: `authentication { auth_type PASS
// auth_pass x }` has one line of two statements inside. Only what the words mean tells them apart.
type Line struct {
	Words  []Token
	Inline bool // there is a brace on the same line of text
	// Block belongs to the last statement; nil: none.
	Block *Block
}

// builder makes a tree of items. It also sums up what it is given: the text without comments, variables and layout.
type builder struct {
	rep   *reporter
	root  *Block
	stack []*Block // open blocks, the root first
	sum   hash.Hash
}

func newBuilder(rep *reporter, sum hash.Hash) *builder {
	root := &Block{}
	return &builder{rep: rep, root: root, stack: []*Block{root}, sum: sum}
}

// line adds the items of one logical line.
func (b *builder) line(items []item) {
	inline := false
	for _, it := range items {
		inline = inline || it.brace != 0
	}
	var words []Token
	flush := func() {
		if len(words) > 0 {
			top := b.stack[len(b.stack)-1]
			top.Lines = append(top.Lines, Line{Words: words, Inline: inline})
			words = nil
		}
	}
	for _, it := range items {
		switch it.brace {
		case '{':
			flush()
			b.open(it.Token)
		case '}':
			flush()
			b.close(it.Token)
		default:
			words = append(words, it.Token)
		}
		b.digest(it)
	}
	flush()
	b.sum.Write([]byte{'\n'})
}

// open starts the block of the line before, which may be on an earlier line of text.
func (b *builder) open(brace Token) {
	top := b.stack[len(b.stack)-1]
	blk := &Block{Open: brace}
	b.stack = append(b.stack, blk)
	if n := len(top.Lines); n > 0 && top.Lines[n-1].Block == nil {
		top.Lines[n-1].Block = blk
		return
	}
	b.rep.errorf(brace, "{ without a keyword before it; the block is skipped")
}

func (b *builder) close(brace Token) {
	if len(b.stack) == 1 {
		b.rep.errorf(brace, "} without a { that it would close")
		return
	}
	b.stack = b.stack[:len(b.stack)-1]
}

// digest adds an item to the sum. Words are length-prefixed by a terminator that cannot be part of one.
func (b *builder) digest(it item) {
	if it.brace != 0 {
		b.sum.Write([]byte{it.brace, 0})
		return
	}
	b.sum.Write([]byte(it.Text))
	b.sum.Write([]byte{0, 0})
}

// finish returns the tree and its sum, 16 hexadecimal digits.
func (b *builder) finish() (*Block, string) {
	for _, blk := range b.stack[1:] {
		b.rep.errorf(blk.Open, "{ is never closed: a } is missing somewhere after it")
	}
	return b.root, hex.EncodeToString(b.sum.Sum(nil)[:8])
}
