package status

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"failoverd/failover"
)

// Paths of version 1 of the interface. Fields may be added to an answer; none is renamed or removed within a version.
const (
	statusPath  = "/v1/status"  // GET: failover.Snapshot; with /NAME: the failover.RouterStatus of that name or key, or the failover.AnycastStatus
	reloadPath  = "/v1/reload"  // POST: 200 with what there is to warn of, or 422 and why the new configuration is refused
	healthzPath = "/v1/healthz" // GET: 200, or 503 when the loop has shown nothing new for maxAge
)

// maxAge is the age of a snapshot from which on its agent is not well: it publishes one every second.
const maxAge = 5 * time.Second

// answerError is the body of every answer that is not a success.
type answerError struct {
	Error string `json:"error"`
	// Known lists the routers that there are, when the one asked for is not among them.
	Known []string `json:"known,omitempty"`
}

// answerReload is the body of a reload that succeeded.
type answerReload struct {
	Result string `json:"result"`
	// Warnings are about the new configuration, a line each.
	Warnings []string `json:"warnings,omitempty"`
}

// answerHealth is the body of /v1/healthz.
type answerHealth struct {
	Result     string  `json:"result"` // ok or stale
	AgeSeconds float64 `json:"age_seconds"`
	Stopping   bool    `json:"stopping"`
	// Error says what is wrong when the result is not ok, as in an answerError.
	Error string `json:"error,omitempty"`
}

// handler routes requests itself and not with http.ServeMux: names of routers may hold slashes and dots, which
// ServeMux would clean away, and its own answers are not JSON.
type handler struct {
	src       Source
	now       func() time.Time
	reloading chan struct{} // holds one element while a reload runs
	planning  chan struct{} // holds one element while a plan is made
}

func newHandler(src Source) *handler {
	return &handler{src: src, now: time.Now, reloading: make(chan struct{}, 1), planning: make(chan struct{}, 1)}
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = &reply{w, r.Context()}
	if r.URL.Path == planPath {
		if allow(w, r, http.MethodPost) {
			h.plan(w, r)
		}
		return
	}
	body, ok := read(w, r, maxBodyBytes)
	if !ok {
		return
	}
	if verb := verbOf(r.URL.Path); verb != "" {
		if allow(w, r, http.MethodPost) {
			h.command(w, r, verb, body)
		}
		return
	}
	if r.URL.Path == upgradePath {
		if allow(w, r, http.MethodPost) {
			h.upgrade(w, r, body)
		}
		return
	}
	name, isRouter := strings.CutPrefix(r.URL.Path, statusPath+"/")
	switch path := r.URL.Path; {
	case path == statusPath && allow(w, r, http.MethodGet):
		h.withSnapshot(w, func(s *failover.Snapshot) { answer(w, http.StatusOK, s) })
	case isRouter && allow(w, r, http.MethodGet):
		h.withSnapshot(w, func(s *failover.Snapshot) { h.router(w, s, name) })
	case path == healthzPath && allow(w, r, http.MethodGet):
		h.withSnapshot(w, func(s *failover.Snapshot) { health(w, s) })
	case path == eventsPath && allow(w, r, http.MethodGet):
		h.events(w, r)
	case path == reloadPath && allow(w, r, http.MethodPost):
		h.reload(w, r)
	case path == statusPath || isRouter || path == healthzPath || path == eventsPath || path == reloadPath:
		// allow has answered.
	default:
		fail(w, http.StatusNotFound, "no such path %q: try %s, %s/NAME, %s, %s, %s, %s, %s, /v1/%s, /v1/%s or /v1/%s", path, statusPath, statusPath,
			healthzPath, eventsPath, reloadPath, planPath, upgradePath, Drain, Undrain, Switchover)
	}
}

// read reads the body of a request, most octets of it at most, and answers when it is longer: after having read on for a
// while, because a client that cannot finish its writing never reads the answer.
func read(w http.ResponseWriter, r *http.Request, most int64) (body []byte, ok bool) {
	tooLong := func() ([]byte, bool) {
		fail(w, http.StatusRequestEntityTooLarge, "%s: request body: at most %d octets", r.URL.Path, most)
		return nil, false
	}
	if r.ContentLength > most && r.Header.Get("Expect") != "" {
		return tooLong() // it asks before it writes (RFC 9110 section 10.1.1)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	switch {
	case err != nil:
		fail(w, http.StatusBadRequest, "%s: read the request body: %s", r.URL.Path, err)
		return nil, false
	case int64(len(body)) > most:
		io.CopyN(io.Discard, r.Body, maxDrained)
		return tooLong()
	}
	owe(r.Context())
	return body, true
}

// withSnapshot hands f a copy of the snapshot that knows its age. Both times of an agent have a monotonic reading, so that
// a step of the wall clock makes nothing look older or newer.
func (h *handler) withSnapshot(w http.ResponseWriter, f func(*failover.Snapshot)) {
	shared := h.src.Snapshot()
	if shared == nil {
		fail(w, http.StatusServiceUnavailable, "the agent is starting and has no state to show yet")
		return
	}
	s := *shared
	s.AgeSeconds = max(0, h.now().Sub(s.TakenAt).Seconds())
	f(&s)
}

// health answers 503 when the loop has stopped to publish, so that whoever probes the agent needs the code only.
func health(w http.ResponseWriter, s *failover.Snapshot) {
	a := answerHealth{Result: "ok", AgeSeconds: s.AgeSeconds, Stopping: s.Agent.Stopping}
	code := http.StatusOK
	if s.AgeSeconds > maxAge.Seconds() {
		code, a.Result = http.StatusServiceUnavailable, "stale"
		a.Error = fmt.Sprintf("the last state is %.1f s old, more than %s", s.AgeSeconds, maxAge)
	}
	answer(w, code, a)
}

func (h *handler) router(w http.ResponseWriter, s *failover.Snapshot, name string) {
	if x := find(s, name); x != nil {
		answer(w, http.StatusOK, x)
		return
	}
	e := noRouter(s, name)
	answer(w, e.Code, answerError{Error: e.Text, Known: e.Known})
}

// FindRouter returns the router of that name, or else of that key ("eth0/4/51"). Otherwise the error is an AnswerError
// that lists the names there are.
func FindRouter(s *failover.Snapshot, name string) (*failover.RouterStatus, error) {
	if r := findRouter(s, name); r != nil {
		return r, nil
	}
	return nil, noRouter(s, name)
}

func findRouter(s *failover.Snapshot, name string) *failover.RouterStatus {
	byKey := -1
	for i := range s.Routers {
		if s.Routers[i].Name == name {
			return &s.Routers[i]
		}
		if byKey < 0 && s.Routers[i].Key.String() == name {
			byKey = i
		}
	}
	if byKey < 0 {
		return nil
	}
	return &s.Routers[byKey]
}

// subjects says what a name may be that of.
func subjects(s *failover.Snapshot) string {
	if len(s.Services) > 0 {
		return "virtual router or anycast service"
	}
	return "virtual router"
}

func noRouter(s *failover.Snapshot, name string) *AnswerError {
	e := &AnswerError{Code: http.StatusNotFound, Text: fmt.Sprintf("no %s %q", subjects(s), name)}
	for i := range s.Routers {
		e.Known = append(e.Known, s.Routers[i].Name)
	}
	for i := range s.Services {
		e.Known = append(e.Known, s.Services[i].Name)
	}
	return e
}

// reload runs one reload at a time. It goes on when the client goes away: half a reload is nobody's wish.
func (h *handler) reload(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), reloadTimeout)
	defer cancel()
	select {
	case h.reloading <- struct{}{}:
		defer func() { <-h.reloading }()
	case <-r.Context().Done():
		return
	case <-ctx.Done():
		fail(w, http.StatusServiceUnavailable, "another reload is still running")
		return
	}
	warnings, err := h.src.Reload(ctx)
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, "%s", err)
		return
	}
	answer(w, http.StatusOK, answerReload{"reloaded", warnings})
}

// allow reports whether the request's method is the one wanted (HEAD counts as GET), and answers when it is not.
func allow(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", method)
	fail(w, http.StatusMethodNotAllowed, "%s: use %s", r.URL.Path, method)
	return false
}

func fail(w http.ResponseWriter, code int, format string, args ...any) {
	answer(w, code, answerError{Error: fmt.Sprintf(format, args...)})
}

// answer writes v as indented JSON: people read it with curl as often as programs do.
func answer(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		code = http.StatusInternalServerError
		b, _ = json.Marshal(answerError{Error: "encode the answer: " + err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(b, '\n'))
}
