package daemon

import (
	"errors"
	"strings"
	"time"

	"failoverd/failover"
)

// checkPatience is how long all commands of a configuration together may take to be looked at. What lies on a dead file
// server never answers, and must not keep an agent from starting, or the next reload waiting.
const checkPatience = 5 * time.Second

var errNoAnswer = errors.New("nobody could tell in time whether it can (a file server or user data base that is dead?)")

// commandKey says which commands are looked at together: the same few scripts serve many instances.
func commandKey(c *failover.Command) string {
	return strings.Join([]string{c.Args[0], c.User, c.Group}, "\x00")
}

// checkCommands returns why commands cannot run, by their keys. A check that blocks is left behind when patience is over,
// and those after it are not made.
func checkCommands(uses []failover.CommandUse, check func(failover.Command) error, patience time.Duration) map[string]error {
	type answer struct {
		key string
		err error
	}
	found := make(map[string]error)
	var todo []failover.Command
	for i := range uses {
		key := commandKey(&uses[i].Command)
		if _, ok := found[key]; !ok {
			found[key] = errNoAnswer
			todo = append(todo, uses[i].Command)
		}
	}
	answers := make(chan answer, len(todo)) // nobody may be listening any more
	over := make(chan struct{})
	defer close(over)
	go func() {
		for i := range todo {
			answers <- answer{commandKey(&todo[i]), check(todo[i])}
			select {
			case <-over:
				return
			default:
			}
		}
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for range todo {
		select {
		case a := <-answers:
			found[a.key] = a.err
		case <-limit.C:
			return found
		}
	}
	return found
}
