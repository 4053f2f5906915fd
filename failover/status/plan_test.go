package status

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"failoverd/failover"
)

// What is asked arrives as it was, and so does the answer.
func TestPlan(t *testing.T) {
	q := &PlanRequest{
		File:  "new.conf",
		Files: []PlanFile{{Name: "new.conf", Content: []byte("a\x00\xff")}, {Name: "inc", Error: "permission denied"}},
		Globs: map[string][]string{"*.inc": {"a.inc", "b.inc"}},
	}
	want := &PlanAnswer{Running: "1", New: "2", Diagnostics: []string{"x:1:1: warning: y"}, Entries: []failover.PlanEntry{
		{Kind: "vrrp_instance", Name: "V", Effect: failover.PlanLive, Changes: []failover.PlanChange{{Parameter: "priority", Old: "1", New: "2"}}},
	}}
	src := &fakeSource{plan: func(got *PlanRequest) (*PlanAnswer, error) {
		if !reflect.DeepEqual(got, q) {
			t.Errorf("asked %+v, want %+v", got, q)
		}
		return want, nil
	}}
	got, err := Dial(serve(t, src)).Plan(t.Context(), q)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("answer %+v, %v; want %+v", got, err, want)
	}
}

func TestPlanRefused(t *testing.T) {
	src := &fakeSource{plan: func(*PlanRequest) (*PlanAnswer, error) { return nil, errors.New("the agent is starting") }}
	path := serve(t, src)
	var answer *AnswerError
	if _, err := Dial(path).Plan(t.Context(), &PlanRequest{}); !errors.As(err, &answer) || answer.Text != "the agent is starting" {
		t.Errorf("error %v", err)
	}
	if code, _, body := request(t, path, http.MethodPost, planPath, strings.NewReader("{")); code != http.StatusBadRequest {
		t.Errorf("half a request: %d %s", code, body)
	}
	if code, head, body := request(t, path, http.MethodGet, planPath, nil); code != http.StatusMethodNotAllowed || head.Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d %s", code, body)
	}
	if code, _, body := request(t, path, http.MethodPost, planPath, bytes.NewReader(bytes.Repeat([]byte(" "), maxPlan+1))); code != http.StatusRequestEntityTooLarge {
		t.Errorf("too much: %d %s", code, body)
	}
}
