package status

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

func instants(i vrrp.Instant) time.Time { return date("2026-05-04T12:00:00Z").Add(time.Duration(i)) }

func TestEvent(t *testing.T) {
	t.Setenv("TZ", "UTC")
	key := vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}
	for _, tt := range []struct {
		name       string
		event      failover.Event
		json, text string
	}{
		{
			"a takeover by silence",
			failover.Event{
				Kind: failover.EventTransition, At: vrrp.Instant(1500 * time.Millisecond), Router: "WEB", Key: key, From: "BACKUP", To: "MASTER",
				Reason: "no advertisement heard", Peer: netip.MustParseAddr("192.0.2.2"),
				Evidence: &failover.Evidence{Peer: netip.MustParseAddr("192.0.2.2"), Priority: 200, Ago: 3609 * time.Millisecond, ActiveDown: 3609 * time.Millisecond},
			},
			`{"time":"2026-05-04T12:00:01.500000000Z","mono_ns":1500000000,"boot_id":"","pid":0,"seq":0,"kind":"transition","router":"WEB","key":"eth0/4/51",` +
				`"from":"BACKUP","to":"MASTER","reason":"no advertisement heard","peer":"192.0.2.2",` +
				`"evidence":{"heard_from":"192.0.2.2","heard_priority":200,"heard_ms_ago":3609,"active_down_interval_ms":3609}}`,
			"transition      WEB  BACKUP -> MASTER: no advertisement heard (heard 192.0.2.2, priority 200, 3609.0 ms before; Active_Down_Interval 3609.0 ms)",
		},
		{
			"a release is priority 0",
			failover.Event{
				Kind: failover.EventTransition, Router: "WEB", Key: key, From: "BACKUP", To: "MASTER",
				Evidence: &failover.Evidence{Peer: netip.MustParseAddr("192.0.2.2"), ActiveDown: 3609 * time.Millisecond},
			},
			`{"time":"2026-05-04T12:00:00.000000000Z","mono_ns":0,"boot_id":"","pid":0,"seq":0,"kind":"transition","router":"WEB","key":"eth0/4/51",` +
				`"from":"BACKUP","to":"MASTER","evidence":{"heard_from":"192.0.2.2","heard_priority":0,"heard_ms_ago":0,"active_down_interval_ms":3609}}`,
			"transition      WEB  BACKUP -> MASTER (heard 192.0.2.2, priority 0, 0.0 ms before; Active_Down_Interval 3609.0 ms)",
		},
		{
			"the stages of a takeover",
			failover.Event{
				Kind: failover.EventTakeover, At: vrrp.Instant(2 * time.Second), Router: "WEB", Key: key, To: "complete", Reason: "no advertisement heard",
				Took: 1250 * time.Microsecond, Phases: []failover.Phase{
					{Name: failover.PhasePromoted, At: vrrp.Instant(time.Second)},
					{Name: failover.PhaseAddress, At: vrrp.Instant(time.Second + 1250*time.Microsecond), MS: 1.25},
				},
			},
			`{"time":"2026-05-04T12:00:02.000000000Z","mono_ns":2000000000,"boot_id":"","pid":0,"seq":0,"kind":"takeover","router":"WEB","key":"eth0/4/51",` +
				`"to":"complete","reason":"no advertisement heard","phases":[` +
				`{"phase":"promoted","ms":0,"mono_ns":1000000000,"time":"2026-05-04T12:00:01.000000000Z"},` +
				`{"phase":"address in","ms":1.25,"mono_ns":1001250000,"time":"2026-05-04T12:00:01.001250000Z"}],"took_ms":1.25}`,
			"takeover        WEB  complete in 1.2 ms: no advertisement heard; promoted, address in +1.2",
		},
		{
			"votes",
			failover.Event{Kind: failover.EventWatch, Object: "mainland", To: "down", Votes: []failover.Vote{{Name: "sg", Says: "down"}, {Name: "web", Says: "unknown"}}},
			`{"time":"2026-05-04T12:00:00.000000000Z","mono_ns":0,"boot_id":"","pid":0,"seq":0,"kind":"watched_site","to":"down","object":"mainland",` +
				`"votes":[{"name":"sg","says":"down"},{"name":"web","says":"unknown"}]}`,
			"watched_site    mainland  down; votes: sg down, web unknown",
		},
		{
			"an address, and words that are not to reach a terminal",
			failover.Event{
				Kind: failover.EventAddressFailed, Reason: "\x1b[31mno\nmore",
				Address: failover.AddressKey{Interface: "lo", Prefix: netip.MustParsePrefix("198.51.100.10/32")},
			},
			`{"time":"2026-05-04T12:00:00.000000000Z","mono_ns":0,"boot_id":"","pid":0,"seq":0,"kind":"address_failed","reason":"\u001b[31mno\nmore",` +
				`"address":"198.51.100.10/32 dev lo"}`,
			"address_failed  198.51.100.10/32 dev lo",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEvent(&tt.event, instants)
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.json, string(b)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			var back Event
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if text := back.Text(); !strings.Contains(text, tt.text) || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("text %q, want one line with %q", text, tt.text)
			}
		})
	}
}

// Every kind of event has a word, and no two have the same one.
func TestEventKinds(t *testing.T) {
	seen := map[string]bool{}
	for k := failover.EventTransition; int(k) < failover.NumEventKinds; k++ {
		if word := EventKind(k); seen[word] {
			t.Errorf("two kinds are %q", word)
		} else {
			seen[word] = true
		}
	}
	if len(seen) != len(eventKinds) {
		t.Errorf("%d words for %d kinds", len(eventKinds), len(seen))
	}
}

func TestEventsOnTheSocket(t *testing.T) {
	src := &fakeSource{}
	path := serve(t, src)
	list, err := Dial(path).Events(context.Background(), 5)
	if err != nil || len(list) != 0 {
		t.Fatalf("no events: %q, %v", list, err)
	}
	for i := range 30 {
		src.events = append(src.events, json.RawMessage(fmt.Sprintf(`{"seq":%d}`, i+1)))
	}
	for _, tt := range []struct {
		query string
		code  int
		first string // event
		count int
	}{
		{"", http.StatusOK, `"seq": 11`, 20},
		{"?last=2", http.StatusOK, `"seq": 29`, 2},
		{"?last=1000", http.StatusOK, `"seq": 1`, 30},
		{"?last=0", http.StatusOK, "[]", 0},
		{"?last=-1", http.StatusBadRequest, "not a number", 0},
		{"?last=many", http.StatusBadRequest, "not a number", 0},
	} {
		code, _, body := request(t, path, http.MethodGet, "/v1/events"+tt.query, nil)
		if code != tt.code || !strings.Contains(body, tt.first) || strings.Count(body, "seq") != tt.count {
			t.Errorf("%q: %d\n%s", tt.query, code, body)
		}
	}
	if code, _, _ := request(t, path, http.MethodPost, "/v1/events", nil); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", code)
	}
}
