package daemon

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

// A command that nobody can look at is one that cannot run; it does not keep anybody waiting.
func TestCheckCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := errors.New("no such file")
		var asked []string
		dead := make(chan struct{})
		check := func(c failover.Command) error {
			asked = append(asked, c.Args[0]+" "+c.User)
			switch c.Args[0] {
			case "/missing":
				return missing
			case "/dead":
				<-dead
			}
			return nil
		}
		use := func(program, user string) failover.CommandUse {
			return failover.CommandUse{Command: failover.Command{Args: []string{program, "x"}, User: user}}
		}
		uses := []failover.CommandUse{
			use("/good", "a"), use("/missing", "a"), use("/good", "a"), use("/good", "b"), use("/dead", "a"), use("/after", "a"),
		}
		begin := time.Now()
		got := checkCommands(uses[:4], check, time.Second)
		if d := time.Since(begin); d != 0 || len(asked) != 3 || !errors.Is(got[commandKey(&uses[1].Command)], missing) || got[commandKey(&uses[3].Command)] != nil {
			t.Errorf("%v after %v, asked %q", got, d, asked)
		}
		got = checkCommands(uses, check, time.Second)
		if d := time.Since(begin); d != time.Second {
			t.Errorf("it took %v", d)
		}
		for i, want := range []error{nil, missing, nil, nil, errNoAnswer, errNoAnswer} {
			if err := got[commandKey(&uses[i].Command)]; !errors.Is(err, want) {
				t.Errorf("%v: %v, want %v", uses[i].Command, err, want)
			}
		}
		close(dead)
		synctest.Wait()
		if len(asked) != 7 { // three, and then all but the last
			t.Errorf("asked %q", asked)
		}
	})
}
