package vrrptest

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// options reads the words of a command, some of which have a value after them. The first error stays.
type options struct {
	args []string
	word string
	err  error
}

// next moves to the next word.
func (o *options) next() bool {
	if len(o.args) == 0 || o.err != nil {
		return false
	}
	o.word, o.args = o.args[0], o.args[1:]
	return true
}

// value returns what stands after the word.
func (o *options) value() string {
	if len(o.args) == 0 {
		o.fail(fmt.Errorf("%s: no value", o.word))
		return ""
	}
	v := o.args[0]
	o.args = o.args[1:]
	return v
}

func (o *options) number(most int) int {
	v, err := strconv.Atoi(o.value())
	if err == nil && (v < 0 || v > most) {
		err = fmt.Errorf("%s %d: want 0 to %d", o.word, v, most)
	}
	o.fail(err)
	return v
}

func (o *options) duration() time.Duration {
	d, err := time.ParseDuration(o.value())
	o.fail(err)
	return d
}

func (o *options) address() netip.Addr {
	a, err := netip.ParseAddr(o.value())
	o.fail(err)
	return a
}

func (o *options) unknown() { o.fail(fmt.Errorf("unknown word %q", o.word)) }

func (o *options) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}
