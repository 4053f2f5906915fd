package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"

	"failoverd/failover"
)

// metric asks a Prometheus server (HTTP API, GET /api/v1/query), and holds each series of the result against a threshold. A
// server that cannot be asked, or does not understand the question, says nothing about what is measured: this node cannot
// look then.
type metric struct {
	probe *failover.Probe
	web   *web
	over  bool // the threshold was passed, and the value has not come back yet
	// judged: there was an answer of the server, whatever it was.
	judged bool
}

func prometheusProber(p *failover.Probe, w way) prober {
	u, err := url.Parse(p.Target)
	if err != nil {
		return senseless(err)
	}
	if u.Path == "" {
		u.Path = "/" // without it, what is joined is relative
	}
	u = u.JoinPath("api/v1/query")
	words := u.Query()
	words.Set("query", p.Query)
	u.RawQuery = words.Encode()
	m := &metric{probe: p, web: &web{probe: p, way: w}}
	m.web.judge = m.judge
	if err := m.web.aim(u); err != nil {
		return senseless(err)
	}
	return m.ask
}

// ask asks once.
func (m *metric) ask(ctx context.Context) outcome {
	m.judged = false
	passed := hinder(ctx, prometheusSilent)
	o := m.web.ask(ctx)
	switch {
	case m.judged:
		passed()
	case ctx.Err() != nil:
		o = outcome{blind: true, cause: prometheusSilent}
	default:
		o.blind, o.cause = true, "Prometheus: "+o.cause
	}
	return o
}

// judge says what an answer means.
func (m *metric) judge(a *answer) (outcome, error) {
	body, over, err := a.text()
	if over {
		m.judged = true
		return outcome{blind: true, cause: "the answer is too long: let the query aggregate"}, nil
	}
	if err != nil {
		return outcome{}, err
	}
	m.judged = true
	r, err := parseResult(body)
	switch {
	case err != nil && a.status != http.StatusOK && !errors.As(err, new(*queryError)):
		return outcome{blind: true, cause: "status " + strconv.Itoa(a.status)}, nil
	case err != nil:
		return outcome{blind: true, cause: harmless(err.Error())}, nil
	}
	o := m.compare(r)
	o.warning = r.warning
	return o, nil
}

// compare holds a result against the threshold.
func (m *metric) compare(r *queryResult) outcome {
	var past []series
	numbers := 0
	for _, s := range r.series {
		if math.IsNaN(s.value) {
			continue
		}
		numbers++
		if m.passes(s.value) {
			past = append(past, s)
		}
	}
	limit := &m.probe.Limit
	word := "above " + failover.Number(limit.Value)
	if limit.Below {
		word = "below " + failover.Number(limit.Value)
	}
	switch {
	case len(past) > 0:
		cause := word
		if m.over && !slices.ContainsFunc(past, func(s series) bool { return beyond(s.value, limit.Value, limit.Below) }) {
			cause = "not back at " + failover.Number(limit.Recover)
		}
		m.over = true
		said := failover.Number(past[0].value)
		if len(r.series) > 1 {
			said += fmt.Sprintf(", and %d of %d series in all", len(past), len(r.series))
		}
		return outcome{cause: harmless(strings.TrimSpace(past[0].labels + " " + cause)), said: said}
	case numbers < len(r.series):
		return m.absent("the result is not a number (NaN)")
	case numbers == 0:
		return m.absent("the query has no result")
	}
	m.over = false
	return outcome{ok: true, cause: "not " + word}
}

// passes reports whether a value is past the threshold, or was and has not come back.
func (m *metric) passes(v float64) bool {
	if m.over {
		return beyond(v, m.probe.Limit.Recover, m.probe.Limit.Below)
	}
	return beyond(v, m.probe.Limit.Value, m.probe.Limit.Below)
}

func beyond(v, limit float64, below bool) bool {
	if below {
		return v < limit
	}
	return v > limit
}

// absent is the outcome of a query without a number to go by.
func (m *metric) absent(cause string) outcome {
	switch m.probe.Absent {
	case failover.AbsentHealthy:
		return outcome{ok: true, cause: cause}
	case failover.AbsentKeep:
		return outcome{blind: true, keep: true, cause: cause}
	default:
		return outcome{cause: cause}
	}
}

// queryResult is what a query has brought.
type queryResult struct {
	series  []series // in the order of their labels; one without labels for a scalar
	warning string
}

type series struct {
	labels string
	value  float64
}

// queryError is one that Prometheus reports.
type queryError struct{ kind, text string }

// Error returns what Prometheus says.
func (e *queryError) Error() string { return "the query is refused: " + e.kind + ": " + e.text }

// parseResult reads the answer of the HTTP API.
func parseResult(body []byte) (*queryResult, error) {
	var a struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
		Data      struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		} `json:"data"`
		Warnings []string `json:"warnings"`
	}
	switch err := json.Unmarshal(body, &a); {
	case err == nil && a.Status == "error":
		return nil, &queryError{a.ErrorType, a.Error}
	case err != nil, a.Status != "success":
		return nil, errors.New("the answer is not one of Prometheus")
	}
	r := &queryResult{}
	if len(a.Warnings) > 0 {
		r.warning = harmless("Prometheus: " + a.Warnings[0])
	}
	var err error
	switch a.Data.ResultType {
	case "scalar":
		var v sample
		err = json.Unmarshal(a.Data.Result, &v)
		r.series = []series{{value: v.value}}
	case "vector":
		r.series, err = parseVector(a.Data.Result)
	default:
		err = fmt.Errorf("the query gives a %s, want a scalar or an instant vector", orUnknown(a.Data.ResultType))
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func orUnknown(s string) string {
	if s == "" {
		return "result without a type"
	}
	return s
}

func parseVector(text json.RawMessage) ([]series, error) {
	var list []struct {
		Metric    map[string]string `json:"metric"`
		Value     *sample           `json:"value"`
		Histogram json.RawMessage   `json:"histogram"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	all := make([]series, 0, len(list))
	for i := range list {
		switch e := &list[i]; {
		case e.Value != nil:
			all = append(all, series{labelText(e.Metric), e.Value.value})
		case e.Histogram != nil:
			return nil, errors.New("the query gives a histogram, want numbers")
		default:
			return nil, errors.New("the answer has a series without a value")
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].labels < all[j].labels })
	return all, nil
}

// sample is [ TIME, "VALUE" ].
type sample struct{ value float64 }

// UnmarshalJSON implements json.Unmarshaler.
func (s *sample) UnmarshalJSON(text []byte) error {
	var pair []json.RawMessage
	var value string
	err := json.Unmarshal(text, &pair)
	if err == nil && len(pair) == 2 {
		err = json.Unmarshal(pair[1], &value)
	}
	if err == nil && len(pair) == 2 {
		s.value, err = strconv.ParseFloat(value, 64)
	}
	if err != nil || len(pair) != 2 {
		return errors.New("the answer has a value that is not a number")
	}
	return nil
}

// labelText returns labels as Prometheus writes them.
func labelText(labels map[string]string) string {
	name := labels["__name__"]
	var list []string
	for k, v := range labels {
		if k != "__name__" {
			list = append(list, k+"="+strconv.Quote(v))
		}
	}
	slices.Sort(list)
	if len(list) == 0 {
		return name
	}
	return name + "{" + strings.Join(list, ",") + "}"
}
