package status

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"failoverd/failover"
)

// Verb is what a person wants of an agent.
type Verb string

// The verbs, which are also the paths: POST /v1/VERB with a CommandRequest; 200 with a CommandAnswer, 404 when there is no
// such router, 409 when the agent refuses it, and 422 when it makes no sense.
const (
	Drain      Verb = "drain"
	Undrain    Verb = "undrain"
	Switchover Verb = "switchover"
)

// Refused is the code of an AnswerError about a command that the agent did not carry out, or undid.
const Refused = http.StatusConflict

// maxReason is the longest reason, and the longest name of who gives it, in octets.
const maxReason = 256

// maxFor is the longest drain that ends by itself.
const maxFor = 10 * 365 * 24 * time.Hour

// commandTimeout is how long a command may take: a switchover waits for its successor for an advertisement interval, which
// is 41 s at most, and not so long with any that people use.
const commandTimeout = 38 * time.Second

// CommandRequest is the body of a command.
type CommandRequest struct {
	// Router is a name or a key; empty: all of them, or, for a switchover, the only one.
	Router string `json:"router,omitempty"`
	Reason string `json:"reason,omitempty"`
	// For ends a drain by itself: a duration as Go writes it, "90m" for example; empty: it does not.
	For string `json:"for,omitempty"`
	// By is who gives the command, if the connection's user acts for somebody else (sudo).
	By string `json:"by,omitempty"`
}

// CommandAnswer is the body of a command that was carried out.
type CommandAnswer struct {
	// Text says what was done beyond what was asked for.
	Text string `json:"text,omitempty"`
	// Nothing: there was nothing to do, and Text says why.
	Nothing  bool     `json:"nothing,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Command is a CommandRequest that makes sense.
type Command struct {
	Verb   Verb
	Router string // a name; empty: all
	By     string
	Reason string
	For    time.Duration // 0: without end
}

// verbOf returns the verb of a path; empty: it is no command's.
func verbOf(path string) Verb {
	switch v := Verb(strings.TrimPrefix(path, "/v1/")); v {
	case Drain, Undrain, Switchover:
		return v
	}
	return ""
}

// command carries out the command that a body asks for. It goes on when the client goes away.
func (h *handler) command(w http.ResponseWriter, r *http.Request, verb Verb, body []byte) {
	if r.URL.RawQuery != "" {
		fail(w, http.StatusBadRequest, "%s: what is wanted goes into the body, a JSON object: {\"router\": NAME, ...}", r.URL.Path)
		return
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var q CommandRequest
	err := d.Decode(&q)
	if err == io.EOF {
		// It would be meant for all that this node does; whoever wants that can say so.
		fail(w, http.StatusBadRequest, "%s: the body is empty: want a JSON object, {\"router\": NAME}, or {} for all", r.URL.Path)
		return
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "read the %s request: %s", verb, err)
		return
	}
	h.withSnapshot(w, func(s *failover.Snapshot) {
		c, err := q.understand(verb, s)
		if err != nil {
			answer(w, err.Code, answerError{Error: err.Text, Known: err.Known})
			return
		}
		c.By = attributed(peerName(r.Context()), c.By)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commandTimeout)
		defer cancel()
		a, failed := h.src.Command(ctx, c)
		conclude(w, a, failed)
	})
}

// conclude answers a command with what came of it, or with why it failed.
func conclude(w http.ResponseWriter, a any, failed error) {
	if e, ok := failed.(*AnswerError); ok {
		fail(w, e.Code, "%s", e.Text)
		return
	}
	if failed != nil {
		fail(w, http.StatusServiceUnavailable, "%s", failed)
		return
	}
	answer(w, http.StatusOK, a)
}

// understand checks a request against the routers that there are.
func (q *CommandRequest) understand(verb Verb, s *failover.Snapshot) (*Command, *AnswerError) {
	wrong := func(format string, args ...any) (*Command, *AnswerError) {
		return nil, &AnswerError{Code: http.StatusUnprocessableEntity, Text: fmt.Sprintf(format, args...)}
	}
	c := &Command{Verb: verb, Router: q.Router, Reason: q.Reason, By: q.By}
	switch {
	case len(q.Reason) > maxReason:
		return wrong("reason of %d octets: at most %d", len(q.Reason), maxReason)
	case len(q.By) > maxReason:
		return wrong("name of %d octets: at most %d", len(q.By), maxReason)
	case strings.ContainsFunc(q.Reason+q.By, unicode.IsControl):
		return wrong("reason and name: want one line of text")
	case q.For != "" && verb != Drain:
		return wrong("for: only a drain ends by itself")
	case len(s.Routers)+len(s.Services) == 0:
		return wrong("there is no virtual router to %s", verb)
	}
	if q.For != "" {
		d, err := time.ParseDuration(q.For)
		if err != nil || d <= 0 || d > maxFor {
			return wrong("for %q: want a duration like 30m or 2h, at most ten years", q.For)
		}
		c.For = d
	}
	switch {
	case q.Router != "":
		if r := findRouter(s, q.Router); r != nil {
			c.Router = r.Name
		} else if a := FindService(s, q.Router); a != nil {
			c.Router = a.Name
		} else {
			return nil, noRouter(s, q.Router)
		}
	case verb == Switchover && len(s.Routers)+len(s.Services) > 1:
		e := noRouter(s, "")
		e.Code, e.Text = http.StatusUnprocessableEntity, "there are several virtual routers: name the one to hand over"
		if len(s.Services) > 0 {
			e.Text = "there are several virtual routers and anycast services: name the one to hand over"
		}
		return nil, e
	case verb == Switchover && len(s.Services) > 0:
		c.Router = s.Services[0].Name
	case verb == Switchover:
		c.Router = s.Routers[0].Name
	}
	return c, nil
}

// attributed says who gives a command: the user of the connection, and the one that this user says to act for.
func attributed(user, by string) string {
	switch {
	case user == "" || by == user:
		return by
	case by == "":
		return user
	}
	return by + " (as " + user + ")"
}

// Command has the agent carry out a command. An unknown router is an AnswerError of code 404 that lists those there are, one
// that the agent refuses has the code Refused.
func (c *Client) Command(ctx context.Context, verb Verb, q *CommandRequest) (*CommandAnswer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode the %s request: %w", verb, err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	b, err := c.do(ctx, http.MethodPost, "/v1/"+string(verb), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	a := new(CommandAnswer)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, c.notUnderstood(err)
	}
	return a, nil
}
