package status

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// A command reaches the agent as it was meant, or is refused with what is wrong with it.
func TestCommands(t *testing.T) {
	me := peerOf(t)
	key := vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}
	one := []failover.RouterStatus{{Name: "WEB", Key: key}}
	two := append(one, failover.RouterStatus{Name: "DB"})
	for _, c := range []struct {
		name, path, body string
		routers          []failover.RouterStatus
		want             *Command
		code             int
		says             string
	}{
		{"drain all", "drain", `{}`, two, &Command{Verb: Drain, By: me}, 200, "{}"},
		{"without a body", "drain", "", two, nil, 400, "or {} for all"},
		{"undrain without a body", "undrain", "", two, nil, 400, "or {} for all"},
		{"switchover without a body", "switchover", "", one, nil, 400, "or {} for"},
		{"undrain all", "undrain", `{}`, two, &Command{Verb: Undrain, By: me}, 200, "{}"},
		{
			"drain one", "drain", `{"router": "DB", "reason": "new kernel", "for": "90m"}`, two,
			&Command{Verb: Drain, Router: "DB", By: me, Reason: "new kernel", For: 90 * time.Minute}, 200, "{}",
		},
		{"by its key", "undrain", `{"router": "eth0/4/51"}`, two, &Command{Verb: Undrain, Router: "WEB", By: me}, 200, "{}"},
		{"for somebody else", "undrain", `{"by": "ann"}`, two, &Command{Verb: Undrain, By: "ann (as " + me + ")"}, 200, "{}"},
		{"switchover of the only one", "switchover", `{}`, one, &Command{Verb: Switchover, Router: "WEB", By: me}, 200, "{}"},
		{"switchover of which one?", "switchover", `{}`, two, nil, 422, "name the one to hand over"},
		{"unknown router", "drain", `{"router": "WEP"}`, two, nil, 404, `no virtual router \"WEP\"`},
		{"no router at all", "drain", `{}`, nil, nil, 422, "no virtual router to drain"},
		{"no duration", "drain", `{"for": "tomorrow"}`, two, nil, 422, "want a duration like 30m"},
		{"a negative one", "drain", `{"for": "-5m"}`, two, nil, 422, "want a duration like 30m"},
		{"a duration for the wrong verb", "undrain", `{"for": "5m"}`, two, nil, 422, "only a drain ends by itself"},
		{"two lines", "drain", `{"reason": "a\nb"}`, two, nil, 422, "one line"},
		{"a long reason", "drain", `{"reason": "` + strings.Repeat("x", 257) + `"}`, two, nil, 422, "at most 256"},
		{"not JSON", "drain", `drain it`, two, nil, 400, "read the drain request"},
		{"unknown words", "drain", `{"rooter": "DB"}`, two, nil, 400, "unknown field"},
		{"too long", "drain", `{"reason": "` + strings.Repeat("x", 8000) + `"}`, two, nil, 413, "at most 4096 octets"},
		{"refused", "switchover", `{"router": "DB"}`, two, &Command{Verb: Switchover, Router: "DB", By: me}, 409, "DB is BACKUP, not MASTER"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got *Command
			src := &fakeSource{command: func(q *Command) (*CommandAnswer, error) {
				got = q
				if c.code == Refused {
					return nil, &AnswerError{Code: Refused, Text: "DB is BACKUP, not MASTER"}
				}
				return new(CommandAnswer), nil
			}}
			src.snapshot.Store(&failover.Snapshot{Routers: c.routers})
			code, _, body := request(t, serve(t, src), http.MethodPost, "/v1/"+c.path, strings.NewReader(c.body))
			if code != c.code || !strings.Contains(body, c.says) || !json.Valid([]byte(body)) {
				t.Errorf("%d: %s", code, body)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the agent is asked for (-want +got):\n%s", diff)
			}
		})
	}
}

// peerOf returns the name of the user that runs the test, as a server sees it.
func peerOf(t *testing.T) (name string) {
	t.Helper()
	src := &fakeSource{command: func(q *Command) (*CommandAnswer, error) { name = q.By; return new(CommandAnswer), nil }}
	src.snapshot.Store(&failover.Snapshot{Routers: []failover.RouterStatus{{Name: "A"}}})
	if code, _, body := request(t, serve(t, src), http.MethodPost, "/v1/undrain", strings.NewReader("{}")); code != 200 || name == "" {
		t.Fatalf("%d by %q: %s", code, name, body)
	}
	return name
}

// A command changes something: a request that only looks is not enough.
func TestCommandsWantPost(t *testing.T) {
	src := new(fakeSource)
	src.snapshot.Store(new(failover.Snapshot))
	path := serve(t, src)
	for _, verb := range []Verb{Drain, Undrain, Switchover} {
		if code, header, _ := request(t, path, http.MethodGet, "/v1/"+string(verb), nil); code != 405 || header.Get("Allow") != http.MethodPost {
			t.Errorf("GET %s: %d, allowed %q", verb, code, header.Get("Allow"))
		}
	}
}
