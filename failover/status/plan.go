package status

import (
	"encoding/json"
	"net/http"

	"failoverd/failover"
)

// planPath answers what a reload with another configuration would do. POST: a PlanRequest; 200 with a PlanAnswer, also
// when the configuration would be refused.
const planPath = "/v1/plan"

// maxPlan bounds the body of a plan request: the text of a configuration.
const maxPlan = 16 << 20

// PlanRequest is a configuration by its text. It was read by who asks, with that one's permissions: the agent opens no
// file on somebody's behalf.
type PlanRequest struct {
	// File is the name of the first file; the others are included from it.
	File  string     `json:"file"`
	Files []PlanFile `json:"files"`
	// Globs are the names that the patterns of include stand for.
	Globs map[string][]string `json:"globs,omitempty"`
}

// PlanFile is one file, or why it could not be read.
type PlanFile struct {
	Name    string `json:"name"`
	Content []byte `json:"content,omitempty"`
	Error   string `json:"error,omitempty"`
}

// PlanAnswer says what a reload would do.
type PlanAnswer struct {
	// Running is the hash of the configuration in force, New that of the one asked about.
	Running string `json:"running"`
	New     string `json:"new,omitempty"`
	// Refused: a reload would change nothing, because of the errors among Diagnostics.
	Refused     bool                 `json:"refused"`
	Diagnostics []string             `json:"diagnostics,omitempty"`
	Entries     []failover.PlanEntry `json:"entries"`
}

func (h *handler) plan(w http.ResponseWriter, r *http.Request) {
	select {
	case h.planning <- struct{}{}: // before the body is read: a text takes many times its size in memory
		defer func() { <-h.planning }()
	case <-r.Context().Done():
		return
	case <-left(r.Context()):
		return
	}
	body, ok := read(w, r, maxPlan)
	if !ok {
		return
	}
	var q PlanRequest
	if err := json.Unmarshal(body, &q); err != nil {
		fail(w, http.StatusBadRequest, "read the plan request: %s", err)
		return
	}
	a, err := h.src.Plan(&q)
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, "%s", err)
		return
	}
	answer(w, http.StatusOK, a)
}
