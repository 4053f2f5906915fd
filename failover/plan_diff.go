package failover

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// parameter compares one parameter of a kind of object.
type parameter[T any] func(old, next *T) []PlanChange

// compareAll returns the changes of all parameters, in their order.
func compareAll[T any](parameters []parameter[T], old, next *T) (changes []PlanChange) {
	if reflect.DeepEqual(old, next) {
		return nil
	}
	for _, p := range parameters {
		changes = append(changes, p(old, next)...)
	}
	return changes
}

// plainly leaves out what the changes would mean to an object that goes on.
func plainly(changes []PlanChange) []PlanChange {
	for i := range changes {
		changes[i].Means = ""
	}
	return changes
}

// value is a parameter with one value; text must say everything about it.
func value[T any](name, means string, text func(*T) string) parameter[T] {
	return func(old, next *T) []PlanChange {
		if a, b := text(old), text(next); a != b {
			return []PlanChange{{Parameter: name, Old: a, New: b, Means: means}}
		}
		return nil
	}
}

// secret is a parameter whose value is not for everybody: public says what may be shown of it.
func secret[T, V any](name, means string, get func(*T) V, public func(V) string) parameter[T] {
	return func(old, next *T) []PlanChange {
		a, b := get(old), get(next)
		if reflect.DeepEqual(a, b) {
			return nil
		}
		c := PlanChange{Parameter: name, Old: public(a), New: public(b), Means: means}
		if c.Old == c.New {
			c.New += " (another one)"
		}
		return []PlanChange{c}
	}
}

// item is an element of a parameter that is a list: id stays when a detail changes, text says everything.
type item struct{ id, text string }

// listMeans says what it means that an element of a list comes, goes, or is changed.
type listMeans struct{ added, removed, changed, moved string }

// list is a parameter with elements.
func list[T any](name string, means listMeans, items func(*T) []item) parameter[T] {
	return func(old, next *T) []PlanChange { return compareItems(name, means, items(old), items(next)) }
}

func compareItems(name string, means listMeans, old, next []item) (changes []PlanChange) {
	number(old)
	number(next)
	before := make(map[string]string, len(old))
	for _, o := range old {
		before[o.id] = o.text
	}
	moved := len(old) == len(next)
	for i, n := range next {
		text, there := before[n.id]
		delete(before, n.id)
		moved = moved && there && text == n.text
		switch {
		case !there:
			changes = append(changes, PlanChange{Parameter: name, New: n.text, Means: means.added})
		case text != n.text:
			changes = append(changes, PlanChange{Parameter: name, Old: text, New: n.text, Means: means.changed})
		}
		if i == len(next)-1 && moved && !reflect.DeepEqual(old, next) {
			changes = append(changes, PlanChange{Parameter: name, Means: "another order" + means.moved})
		}
	}
	for _, o := range old {
		if _, gone := before[o.id]; gone {
			changes = append(changes, PlanChange{Parameter: name, Old: o.text, Means: means.removed})
		}
	}
	return changes
}

// number makes the ids of elements that are there several times unique.
func number(items []item) {
	seen := make(map[string]int, len(items))
	for i := range items {
		id := items[i].id
		if seen[id]++; seen[id] > 1 {
			items[i].id += " #" + strconv.Itoa(seen[id])
		}
	}
}

// Texts of values. An empty one says that there is none.

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func duration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return d.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func orDefault(a netip.Addr) string {
	if !a.IsValid() {
		return "default"
	}
	return a.String()
}

// text names the program and for whom it runs. Arguments may be secrets.
func (c *Command) text() string {
	if c == nil || len(c.Args) == 0 {
		return ""
	}
	s := c.Args[0]
	switch n := len(c.Args) - 1; n {
	case 0:
	case 1:
		s += " (1 argument)"
	default:
		s += fmt.Sprintf(" (%d arguments)", n)
	}
	if c.User != "" {
		s += " as " + strings.TrimSuffix(c.User+":"+c.Group, ":")
	}
	return s
}
