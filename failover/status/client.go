package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"failoverd/failover"
)

// maxAnswer bounds what a client reads; a snapshot takes about 2 KB a router.
const maxAnswer = 64 << 20

// ErrNotRunning says that no agent answers on the socket.
var ErrNotRunning = errors.New("no agent is running there")

// AnswerError is a request that the agent answered with an error.
type AnswerError struct {
	Code  int      // HTTP status
	Text  string   // the agent's words
	Known []string // the routers that exist, when the one asked for does not
}

// Error implements error.
func (e *AnswerError) Error() string {
	if len(e.Known) > 0 {
		return e.Text + "; there are: " + strings.Join(e.Known, ", ")
	}
	return e.Text
}

// Client asks an agent over its status socket. It may be used from several goroutines.
type Client struct {
	path string
	http *http.Client
}

// Dial returns a client of the socket at path. Nothing is connected before the first question, and every question
// connects anew, so that a client outlives restarts of the agent.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeaderBytes},
	}}
}

// askTimeout is how long an agent may take to answer from its snapshot; one that is stopped or hung never does.
const askTimeout = 3 * time.Second

// Status returns the agent's snapshot. The error wraps ErrNotRunning when nothing listens on the socket.
func (c *Client) Status(ctx context.Context) (*failover.Snapshot, error) {
	b, err := c.StatusJSON(ctx, "")
	if err != nil {
		return nil, err
	}
	s := new(failover.Snapshot)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, c.notUnderstood(err)
	}
	return s, nil
}

// StatusJSON returns the agent's answer as it is, also when a newer agent says more than this program knows: the
// snapshot, or one router when name is not empty. An unknown name is an AnswerError of code 404.
func (c *Client) StatusJSON(ctx context.Context, name string) ([]byte, error) {
	path := statusPath
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return c.do(ctx, http.MethodGet, path, nil)
}

// Reload makes the agent read its configuration again, and returns the warnings about the new one, a line each. A refused
// configuration is an AnswerError of code 422 whose text names every error; the agent then goes on as before.
func (c *Client) Reload(ctx context.Context) (warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout+time.Second)
	defer cancel()
	b, err := c.do(ctx, http.MethodPost, reloadPath, nil)
	if err != nil {
		return nil, err
	}
	var a answerReload
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, c.notUnderstood(err)
	}
	return a.Warnings, nil
}

// Plan asks what a reload with another configuration would do.
func (c *Client) Plan(ctx context.Context, q *PlanRequest) (*PlanAnswer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode the plan request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	b, err := c.do(ctx, http.MethodPost, planPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	a := new(PlanAnswer)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, c.notUnderstood(err)
	}
	return a, nil
}

func (c *Client) notUnderstood(err error) error {
	return fmt.Errorf("read the answer of %s: %w (is the agent of another version?)", c.path, err)
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://failoverd"+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = errors.New("answer is too long")
	}
	if err != nil {
		return nil, fmt.Errorf("read from %s: %w", c.path, err)
	}
	if resp.StatusCode == http.StatusOK {
		return b, nil
	}
	var a answerError
	if json.Unmarshal(b, &a) != nil || a.Error == "" {
		a.Error = fmt.Sprintf("%s answered %s: %.200q", c.path, resp.Status, bytes.TrimSpace(b))
	}
	return nil, &AnswerError{Code: resp.StatusCode, Text: a.Error, Known: a.Known}
}

// explain turns a failed connect into what to look at.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s does not exist; is failoverd started, and does it use another status_socket?", ErrNotRunning, c.path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s; it was left by an agent that died, look at its log", ErrNotRunning, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("connect to %s: permission denied; root and the socket's group may", c.path)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the agent holds %s and does not answer: it is stopped or hung; what it has programmed ends by itself", c.path)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL in its text is made up
	}
	return fmt.Errorf("ask the agent on %s: %w", c.path, err)
}
