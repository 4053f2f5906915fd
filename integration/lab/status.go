package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"failoverd/failover"
)

// StatusClient asks an agent for its status, over its socket. Sockets are files, so it works from outside the agent's
// network.
type StatusClient struct {
	path string
	http *http.Client
}

// Status returns a client of the socket at path; nothing is connected before the first question.
func Status(path string) *StatusClient {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &StatusClient{path, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: time.Second}}
}

// Get returns the agent's snapshot. It fails while there is no agent.
func (c *StatusClient) Get(ctx context.Context) (*failover.Snapshot, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://failoverd/v1/status", nil)
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", c.path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", c.path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status of %s: %s", c.path, resp.Status)
	}
	var s failover.Snapshot
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return nil, fmt.Errorf("status of %s: %w", c.path, err)
	}
	return &s, nil
}
