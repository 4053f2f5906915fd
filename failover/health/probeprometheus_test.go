package health

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"failoverd/failover"
)

func vector(list ...string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(list, ",") + `]}}`
}

func point(labels, value string) string {
	return `{"metric":{` + labels + `},"value":[1700000000.1,"` + value + `"]}`
}

// TestPrometheusResult: one answer after the other, with what each means. The limit is 0.2, and 0.15 to come back.
func TestPrometheusResult(t *testing.T) {
	type row struct{ answer, want string }
	gd, hk := `"region":"gd"`, `"region":"hk","__name__":"rtt"`
	scalar := func(v string) string {
		return `{"status":"success","data":{"resultType":"scalar","result":[1700000000,"` + v + `"]}}`
	}
	for _, tt := range []struct {
		name   string
		absent failover.AbsentPolicy
		below  bool
		rows   []row
	}{
		{"above, and back", failover.AbsentUnhealthy, false, []row{
			{scalar("0.2"), "ok: not above 0.2"},
			{scalar("0.21"), "failed: above 0.2: 0.21"},
			{scalar("0.16"), "failed: not back at 0.15: 0.16"},
			{scalar("0.15"), "ok: not above 0.2"},
			{scalar("0.19"), "ok: not above 0.2"},
			{scalar("+Inf"), "failed: above 0.2: +Inf"},
		}},
		{"below, and back", failover.AbsentUnhealthy, true, []row{
			{scalar("0.2"), "ok: not below 0.2"},
			{scalar("-Inf"), "failed: below 0.2: -Inf"},
			{scalar("0.24"), "failed: not back at 0.25: 0.24"},
			{scalar("0.25"), "ok: not below 0.2"},
		}},
		{"any series", failover.AbsentUnhealthy, false, []row{
			{vector(point(gd, "0.1"), point(hk, "0.1")), "ok: not above 0.2"},
			{vector(point(hk, "0.3"), point(gd, "0.1")), `failed: rtt{region="hk"} above 0.2: 0.3, and 1 of 2 series in all`},
			{vector(point(hk, "0.3"), point(gd, "0.4")), `failed: rtt{region="hk"} above 0.2: 0.3, and 2 of 2 series in all`},
			{vector(point(hk, "0.17"), point(gd, "0.1")), `failed: rtt{region="hk"} not back at 0.15: 0.17, and 1 of 2 series in all`},
			{vector(point(hk, "0.1")), "ok: not above 0.2"},
			{vector(point(hk, "NaN"), point(gd, "0.4")), `failed: {region="gd"} above 0.2: 0.4, and 1 of 2 series in all`},
			{vector(point(hk, "NaN"), point(gd, "0.1")), "failed: the result is not a number (NaN)"},
		}},
		{"nothing is a failure", failover.AbsentUnhealthy, false, []row{{vector(), "failed: the query has no result"}, {scalar("NaN"), "failed: the result is not a number (NaN)"}}},
		{"or none", failover.AbsentHealthy, false, []row{{vector(), "ok: the query has no result"}, {scalar("NaN"), "ok: the result is not a number (NaN)"}}},
		{"or keeps what was", failover.AbsentKeep, false, []row{{vector(), "keeps: the query has no result"}, {vector(point("", "NaN")), "keeps: the result is not a number (NaN)"}}},
		{"not an answer", failover.AbsentHealthy, false, []row{
			{``, "unknown: the answer is not one of Prometheus"},
			{`[]`, "unknown: the answer is not one of Prometheus"},
			{`{}`, "unknown: the answer is not one of Prometheus"},
			{`{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}`, "unknown: the query is refused: bad_data: parse error: unexpected end"},
			{`{"status":"success","data":{"resultType":"matrix","result":[]}}`, "unknown: the query gives a matrix, want a scalar or an instant vector"},
			{`{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`, "unknown: the query gives a string, want a scalar or an instant vector"},
			{`{"status":"success"}`, "unknown: the query gives a result without a type, want a scalar or an instant vector"},
			{scalar("x"), "unknown: the answer has a value that is not a number"},
			{`{"status":"success","data":{"resultType":"scalar","result":[1]}}`, "unknown: the answer has a value that is not a number"},
			{vector(`{"metric":{},"histogram":[1,{}]}`), "unknown: the query gives a histogram, want numbers"},
			{vector(`{"metric":{}}`), "unknown: the answer has a series without a value"},
			{vector(`{"metric":{"a":1},"value":[1,"1"]}`), "unknown: json"},
		}},
	} {
		limit := failover.Threshold{Value: 0.2, Recover: 0.15}
		if tt.below {
			limit = failover.Threshold{Below: true, Value: 0.2, Recover: 0.25}
		}
		m := &metric{probe: &failover.Probe{Limit: limit, Absent: tt.absent}}
		for _, r := range tt.rows {
			body := &io.LimitedReader{R: strings.NewReader(r.answer), N: maxBody}
			o, err := m.judge(&answer{status: 200, body: body, limit: body})
			if err != nil {
				t.Fatal(err)
			}
			got := [...]string{"ok", "failed", "unknown"}[o.result()] + ": " + o.reason(1)
			if o.keep {
				got = "keeps: " + o.reason(1)
			}
			if got != r.want && !(r.want == "unknown: json" && strings.HasPrefix(got, r.want)) {
				t.Errorf("%s: %s\ngot  %s\nwant %s", tt.name, r.answer, got, r.want)
			}
		}
	}
}

// TestPrometheusProbe: the question that is asked, and servers that are none.
func TestPrometheusProbe(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch query := r.URL.Query().Get("query"); {
		case r.URL.Path != "/prom/api/v1/query" || r.Header.Get("X-Scope-OrgID") != "a b":
			w.WriteHeader(http.StatusNotFound)
		case query == `max(x{a="é+&"})`:
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte(vector(point(`"a":"b"`, "1"))))
		case query == "wrong(":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"status":"error","errorType":"bad_data","error":"unclosed left parenthesis"}`))
		case query == "hang":
			<-r.Context().Done()
		case query == "long":
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
					return
				}
			}
		case query == "part":
			_, _ = w.Write([]byte(strings.Replace(vector(), `"status"`, `"warnings":["one store is gone"],"status"`, 1)))
		}
	}))
	defer s.Close()
	for _, tt := range []struct{ name, url, query, want string }{
		{"a value", s.URL + "/prom", `max(x{a="é+&"})`, `failed: {a="b"} above 0.5: 1`},
		{"a query that is wrong", s.URL + "/prom/", "wrong(", "unknown: the query is refused: bad_data: unclosed left parenthesis"},
		{"another place", s.URL, "up", "unknown: status 404"},
		{"no answer", s.URL + "/prom", "hang", "unknown: Prometheus does not answer in time"},
		{"too much of an answer", s.URL + "/prom", "long", "unknown: the answer is too long: let the query aggregate"},
		{"nobody there", "http://" + closedPort(t), "up", "unknown: Prometheus: connection refused"},
		{"no TLS", strings.Replace(s.URL, "http:", "https:", 1), "up", "unknown: Prometheus: tls: first record does not look like a TLS handshake"},
		{"not an answer", s.URL + "/prom", "none", "unknown: the answer is not one of Prometheus"},
		{"a warning", s.URL + "/prom", "part", "failed: the query has no result"},
	} {
		p := failover.Probe{
			Kind: failover.ProbePrometheus, Target: tt.url, Query: tt.query, Limit: failover.Threshold{Value: 0.5, Recover: 0.5},
			Headers: [][2]string{{"X-Scope-OrgID", "a b"}},
		}
		c := failover.CheckConfig{Probe: p}
		if tt.query != "hang" {
			c.Timeout = patiently
		}
		if got := probeOnce(t, c); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if tt.query != "part" {
			continue
		}
		if o := prometheusProber(&p, way{})(t.Context()); o.warning != "Prometheus: one store is gone" {
			t.Errorf("%s: warning %q", tt.name, o.warning)
		}
	}
}

// Whatever Prometheus says, there is a result or an error, and an outcome.
func FuzzPrometheusAnswer(f *testing.F) {
	for _, s := range []string{
		vector(), vector(point(`"a":"b"`, "1e3"), point("", "NaN")), `{"status":"error","errorType":"x","error":"y"}`,
		`{"status":"success","data":{"resultType":"scalar","result":[1,"2"]},"warnings":["w"]}`, vector(`{"histogram":[]}`), `null`, `{"data":{"result":[[[`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseResult(b)
		if (r == nil) != (err != nil) {
			t.Fatalf("result %v and error %v", r, err)
		}
		if r == nil {
			return
		}
		m := &metric{probe: &failover.Probe{Limit: failover.Threshold{Value: 1, Recover: 0}}}
		o := m.compare(r)
		for _, s := range r.series {
			if s.value > 1 && o.ok || math.IsNaN(s.value) && o.ok {
				t.Errorf("%v is all right: %+v", s.value, o)
			}
		}
		if o.cause == "" || strings.ContainsFunc(o.cause+o.said, func(c rune) bool { return c < ' ' }) {
			t.Errorf("cause %q", o.cause)
		}
	})
}
