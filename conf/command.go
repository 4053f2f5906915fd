package conf

import (
	"errors"
	"strings"
)

// Errors of SplitCommand.
var (
	ErrEmptyCommand = errors.New("the command is empty")
	ErrOpenQuote    = errors.New("a quote is not closed")
	ErrOpenEscape   = errors.New("the command ends in a backslash")
	ErrNUL          = errors.New("an argument contains a NUL character")
)

// SplitCommand splits the text of a script or notify command into arguments, as keepalived does: at blanks, with single
// and double quotes that may start and end inside of a word, and with escapes, in quotes as well: \a \b \E \f \n \r \t \v,
// \NNN (octal), \xHH, \cX (control), and \ before any other character for that character. There is no shell: $, |, > and
// the like are arguments.
func SplitCommand(s string) ([]string, error) {
	var (
		args  []string
		word  strings.Builder
		open  bool // a word has begun
		quote byte
	)
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\':
			b, n := escape(s[i+1:])
			if n == 0 {
				return nil, ErrOpenEscape
			}
			word.WriteByte(b)
			open = true
			i += 1 + n
			continue
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && (blank(c) || c == '\n'):
			if open {
				args = append(args, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteByte(c)
			open = true
		}
		i++
	}
	if quote != 0 {
		return nil, ErrOpenQuote
	}
	if open {
		args = append(args, word.String())
	}
	return args, checkCommand(args)
}

func checkCommand(args []string) error {
	if len(args) == 0 || args[0] == "" {
		return ErrEmptyCommand
	}
	for _, a := range args {
		if strings.IndexByte(a, 0) >= 0 {
			return ErrNUL
		}
	}
	return nil
}

// named are the escapes that stand for a character other than themselves.
var named = map[byte]byte{'a': 7, 'b': 8, 'E': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}

// escape returns the octet that the text behind a backslash stands for, and the length of that text; 0: there is none.
func escape(s string) (b byte, n int) {
	if s == "" {
		return 0, 0
	}
	switch c := s[0]; {
	case named[c] != 0:
		return named[c], 1
	case c >= '0' && c <= '7':
		for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '7' {
			b = b<<3 | (s[n] - '0')
			n++
		}
		return b, n
	case c == 'x' && len(s) > 1 && hexDigit(s[1]) >= 0:
		for n = 1; n < len(s) && hexDigit(s[n]) >= 0; n++ {
			b = b<<4 | byte(hexDigit(s[n]))
		}
		return b, n
	case c == 'c' && len(s) > 1:
		return s[1] & 0x1f, 2
	default:
		return c, 1
	}
}

// readEscapes returns s with what its escapes stand for. A backslash at the end stays.
func readEscapes(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			var n int
			c, n = escape(s[i+1:])
			i += n
		}
		b.WriteByte(c)
	}
	return b.String()
}

// hexDigit returns the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	if c < '0' {
		return -1
	}
	return strings.IndexByte("0123456789abcdef", c|0x20)
}
