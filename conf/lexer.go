package conf

import "strings"

// Token is one word of a text.
type Token struct {
	Text   string // without quotes
	Pos    Pos
	Quoted bool // in double quotes
	via    *use
}

// item is a word or a brace.
type item struct {
	Token
	brace byte // '{', '}' or 0
}

// lex splits a logical line into words and braces. Double quotes make one word of what is between them and hide
// comments and braces; they also separate words. \# and \! stand for the characters themselves. A comment that starts in
// the middle of a word is legal, and almost never meant.
func lex(t text, rep *reporter) []item {
	var items []item
	s := t.s
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case blank(c): // no literal text starts with one
			i++
		case commentMark(c) && !t.seg(i).literal:
			return items
		case (c == '{' || c == '}') && !t.seg(i).literal:
			items = append(items, item{t.token(i, i+1), c})
			i++
		case c == '"':
			end, ok := closingQuote(s, i)
			if !ok {
				rep.errorf(t.token(i, i+1), `" without a closing one on the line`)
			}
			tok := t.token(i, i+1)
			tok.Text, tok.Quoted = strings.ReplaceAll(s[i+1:end], `\"`, `"`), true
			items = append(items, item{Token: tok})
			i = min(end+1, len(s))
		default:
			end := wordEnd(t, i)
			tok := t.token(i, end)
			tok.Text = unescape(tok.Text)
			items = append(items, item{Token: tok})
			if end < len(s) && commentMark(s[end]) && !t.seg(end).literal {
				warnGlued(rep, t.token(end, end+1))
			}
			i = end
		}
	}
	return items
}

// warnGlued is about a comment mark inside a word: half of a password is a bad password.
func warnGlued(rep *reporter, mark Token) {
	rep.warnf(mark, "comment starts inside a word; write \\%s for the character itself, or put the word in double quotes", mark.Text)
}

func commentMark(c byte) bool { return c == '#' || c == '!' }

// escapedMark reports whether an escaped comment mark is at i of s.
func escapedMark(s string, i int) bool {
	return s[i] == '\\' && i+1 < len(s) && commentMark(s[i+1])
}

// wordEnd returns the end of the unquoted word that starts at i.
func wordEnd(t text, i int) int {
	for i < len(t.s) {
		c := t.s[i]
		switch {
		case escapedMark(t.s, i):
			i += 2
			continue
		case (blank(c) || commentMark(c) || c == '"' || c == '{' || c == '}') && !t.seg(i).literal:
			return i
		}
		i++
	}
	return i
}

// unescape removes the backslash of \# and \!.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if escapedMark(s, i) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// closingQuote returns the index of the quote that closes the one at open. \" does not close, which commands need
// (SplitCommand); only where nothing else does - a password that ends in a backslash - the last quote of the line
// closes all the same. Without any it returns len(s) and false.
func closingQuote(s string, open int) (int, bool) {
	for i := open + 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i, true
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		}
	}
	if i := strings.LastIndexByte(s, '"'); i > open {
		return i, true
	}
	return len(s), false
}

// comment returns where the comment of a physical line starts - len(s) when it has none - and whether it does so
// inside a word.
func comment(s string) (at int, glued bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			end, ok := closingQuote(s, i)
			if !ok {
				return len(s), false
			}
			i = end
		case escapedMark(s, i):
			i++
		case commentMark(s[i]):
			return i, i > 0 && !blank(s[i-1]) && s[i-1] != '{' && s[i-1] != '}'
		}
	}
	return len(s), false
}
