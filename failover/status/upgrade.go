package status

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// upgradePath has another program take the place of the one that works: POST with an UpgradeRequest; 200 with an
// UpgradeAnswer, 409 when the agent refuses it, 422 when the other program cannot use the configuration, 403 when the one
// who asks may not.
const upgradePath = "/v1/upgrade"

// upgradeTimeout is how long an upgrade may take: two questions to the other program, of ten seconds each, its start and the
// switch (supervisor.UpgradeBound), and the reading of a configuration.
const upgradeTimeout = 55 * time.Second

// UpgradeRequest is the body of an upgrade.
type UpgradeRequest struct {
	// Binary is the absolute path of the program; empty: where the one that works was started from.
	Binary string `json:"binary,omitempty"`
	// Check: say what would become of it, and do nothing.
	Check bool `json:"check,omitempty"`
	// Drain: stop in order, and start the other program afresh.
	Drain bool `json:"drain,omitempty"`
	// IfChanged: do nothing if the program is the one that works.
	IfChanged bool `json:"if_changed,omitempty"`
	// Reload: the configuration is to be read again afterwards, so that the other program has to understand the file as
	// it is now. Whoever asks has to ask for the reload as well.
	Reload bool `json:"reload,omitempty"`
}

// UpgradeAnswer is the body of an upgrade that was carried out, or can be, or has begun with Drain.
type UpgradeAnswer struct {
	Binary string `json:"binary"`
	From   string `json:"from"` // versions
	To     string `json:"to,omitempty"`
	// SwitchMS is how long the switch may take at least, in milliseconds, during which nobody sends: then it is given up, and
	// no neighbor has taken over. 0 with Drain.
	SwitchMS int64 `json:"switch_ms,omitempty"`
	// Nothing: there was nothing to do, the program is the one that works.
	Nothing bool `json:"nothing,omitempty"`
}

// Upgrader is a Source that can have another program take its place. The error is an *AnswerError when it is refused.
type Upgrader interface {
	Upgrade(ctx context.Context, q *UpgradeRequest) (*UpgradeAnswer, error)
}

// upgrade is for root and the agent's own user only: it runs a program with the agent's rights.
func (h *handler) upgrade(w http.ResponseWriter, r *http.Request, body []byte) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var q UpgradeRequest
	if err := d.Decode(&q); err != nil && err != io.EOF {
		fail(w, http.StatusBadRequest, "read the upgrade request: %s", err)
		return
	}
	if in, ok := r.Context().Value(guestKey{}).(*guest); !ok || in.uid != 0 && in.uid != int64(os.Geteuid()) {
		fail(w, http.StatusForbidden, "only root and the user of the agent may have it run another program")
		return
	}
	if q.Binary != "" && !filepath.IsAbs(q.Binary) {
		fail(w, http.StatusUnprocessableEntity, "binary %q: want an absolute path", q.Binary)
		return
	}
	u, ok := h.src.(Upgrader)
	if !ok {
		fail(w, http.StatusNotImplemented, "nobody here can be upgraded")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), upgradeTimeout)
	defer cancel()
	a, failed := u.Upgrade(ctx, &q)
	conclude(w, a, failed)
}

// Upgrade has another program take the place of the agent. One that the agent refuses is an AnswerError of code Refused,
// or of code 422 when it is because of the configuration.
func (c *Client) Upgrade(ctx context.Context, q *UpgradeRequest) (*UpgradeAnswer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode the upgrade request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	b, err := c.do(ctx, http.MethodPost, upgradePath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	a := new(UpgradeAnswer)
	if err := json.Unmarshal(b, a); err != nil {
		return nil, c.notUnderstood(err)
	}
	return a, nil
}
