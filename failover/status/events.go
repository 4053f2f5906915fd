package status

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// eventsPath answers a GET with the newest events of this run of the agent, oldest first: ?last=N, 20 if that is missing.
const eventsPath = "/v1/events"

// lastEvents is how many events are shown unless somebody says how many.
const lastEvents = 20

// events answers with the newest events.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	last := lastEvents
	if text := r.URL.Query().Get("last"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			fail(w, http.StatusBadRequest, "last: %q is not a number of events", text)
			return
		}
		last = int(n)
	}
	list := h.src.Events(last)
	if list == nil {
		list = []json.RawMessage{}
	}
	answer(w, http.StatusOK, list)
}

// Events returns the newest events of the agent's run, at most last, oldest first. The agent keeps some hundred.
func (c *Client) Events(ctx context.Context, last int) ([]json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	b, err := c.do(ctx, http.MethodGet, fmt.Sprintf("%s?last=%d", eventsPath, last), nil)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, c.notUnderstood(err)
	}
	return list, nil
}
