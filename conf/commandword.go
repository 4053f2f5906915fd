package conf

import (
	"errors"
	"strings"

	"failoverd/failover"
)

// command is the draft of a program to run.
type command struct {
	at   Token // where the command stands
	ok   bool
	args []string
	// open is the file of a "</path"; then there are no args.
	open        string
	user, group field[string]
}

// command decodes COMMAND [USER [GROUP]]. A command with arguments stands in double quotes, so that they are no user.
func (d *decoder) command(c *cursor) *command {
	cmd := d.commandLine(c, false)
	if cmd.open != "" {
		d.errorf(cmd.at, "%s: %q is a test for a vrrp_script and no command", c.keyword.Text, "<"+cmd.open)
		cmd.ok = false
	}
	d.owner(c, &cmd.user, &cmd.group)
	return cmd
}

// owner decodes an optional USER [GROUP].
func (d *decoder) owner(c *cursor, user, group *field[string]) {
	if c.value() {
		user.set(d.user(c, "the name of a user"))
	}
	if c.value() {
		group.set(d.user(c, "the name of a group"))
	}
}

// commandLine takes a command: one word in quotes, or bare words up to the end of a quote that one of them opens. With
// all, every word up to the end of the statement belongs to it.
func (d *decoder) commandLine(c *cursor, all bool) *command {
	cmd := &command{at: c.keyword}
	if !c.needed() {
		d.errorf(c.keyword, "%s: its value is missing (want a command)", c.keyword.Text)
		return cmd
	}
	cmd.at = c.words[0]
	text := commandText(c, all)
	if path, ok := strings.CutPrefix(strings.TrimSpace(text), "<"); ok {
		args, err := SplitCommand(path)
		if err != nil || len(args) != 1 || !strings.HasPrefix(args[0], "/") {
			d.errorf(cmd.at, "%s %q: want < and the absolute path of one file", c.keyword.Text, text)
			return cmd
		}
		cmd.open, cmd.ok = args[0], true
		return cmd
	}
	args, err := SplitCommand(text)
	if err != nil {
		d.errorf(cmd.at, "%s: %v", c.keyword.Text, err)
		return cmd
	}
	cmd.args, cmd.ok = args, true
	if op := shellOperator(text); op != "" {
		d.warnf(cmd.at, "%s: no shell runs it, so %q is an argument; write sh -c '...' around what a shell is to do", c.keyword.Text, op)
	}
	return cmd
}

// commandText takes the words of a command and puts them together again as they stood. As with keepalived, escapes in a
// command that stands in quotes are read twice: with the line, and when SplitCommand makes arguments of it.
func commandText(c *cursor, all bool) string {
	last := c.take()
	text := last.Text
	if last.Quoted {
		text = readEscapes(text)
	}
	for c.more() && !last.Quoted && opened(text) {
		last = appendWord(&text, last, c.take())
	}
	if n := len(text); n > 2 && !last.Quoted && text[0] == '\'' && strings.IndexByte(text[1:], '\'') == n-2 {
		text = readEscapes(text[1 : n-1]) // single quotes around all of it are as good as double ones
	}
	for all && (c.value() || c.more() && opened(text)) {
		last = appendWord(&text, last, c.take())
	}
	return text
}

// opened reports whether a command goes on behind a blank at its end.
func opened(text string) bool {
	_, err := SplitCommand(text)
	return errors.Is(err, ErrOpenQuote) || errors.Is(err, ErrOpenEscape)
}

// appendWord adds a word to a command, and returns it.
func appendWord(text *string, last, next Token) Token {
	*text += strings.Repeat(" ", gap(last, next))
	if next.Quoted {
		*text += `"` + strings.ReplaceAll(next.Text, `"`, `\"`) + `"`
	} else {
		*text += next.Text
	}
	return next
}

// gap returns how many blanks are between two words of a line; 1 if it cannot be told.
func gap(a, b Token) int {
	end := a.Pos.Column + len(a.Text)
	if a.Quoted {
		end += 2
	}
	if a.via != nil || b.via != nil || a.Pos.File != b.Pos.File || a.Pos.Line != b.Pos.Line || b.Pos.Column < end {
		return 1
	}
	return b.Pos.Column - end
}

// shellOperator returns an operator of the shell that stands outside of quotes in a command, or "". What runs a shell
// has its operators in quotes.
func shellOperator(s string) string {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.HasPrefix(s[i:], "&&"), strings.HasPrefix(s[i:], "||"), strings.HasPrefix(s[i:], "$("):
			return s[i : i+2]
		case strings.IndexByte("|;<>`", c) >= 0:
			return s[i : i+1]
		}
	}
	return ""
}

// resolveCommand returns what to run, and notes where it stands. It is nil if there is nothing.
func (d *decoder) resolveCommand(cmd *command, what string, check bool) *failover.Command {
	if cmd == nil || !cmd.ok {
		return nil
	}
	out := &failover.Command{Args: cmd.args, User: cmd.user.or(""), Group: cmd.group.or("")}
	if cmd.user.missing() {
		out.User, out.Group = d.global.scriptUser.or(""), d.global.scriptGroup.or("")
	}
	at := cmd.at.Pos
	d.uses = append(d.uses, failover.CommandUse{
		Command: *out, What: what, File: at.File, Line: at.Line, Column: at.Column, Check: check,
	})
	return out
}

// formatCommand returns the quoted word that means args to a command.
func formatCommand(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = formatArgument(a)
	}
	return quoteCommand(strings.Join(words, " "))
}

// quoteCommand quotes a text for SplitCommand, which has no double quote and ends in no backslash.
func quoteCommand(text string) string { return quote(strings.ReplaceAll(text, `\`, `\\`)) }

// formatArgument quotes what a bare word would not keep.
func formatArgument(a string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_./:=@%+,-", r)
	}
	if a != "" && strings.TrimFunc(a, plain) == "" {
		return a
	}
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(a) {
		switch c := a[i]; {
		case c < ' ' || c == '"' || c == 0x7f:
			b.WriteString(`\` + string([]byte{'0' + c>>6, '0' + c>>3&7, '0' + c&7}))
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
