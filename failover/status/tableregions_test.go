package status

import (
	"strings"
	"testing"

	"failoverd/failover"
)

func TestRegionsTable(t *testing.T) {
	s := sample()
	s.Routers, s.Speakers, s.Links = nil, nil, nil
	ms := func(v float64) *float64 { return &v }
	s.Sites = []failover.SiteStatus{{Name: "mainland", Authority: "valid", RemainingMS: 6100, AckMSAgo: ms(900), FenceMS: 7000, Why: "acknowledged by witness sg"}}
	s.Watches = []failover.WatchStatus{{
		Name: "taiwan", Verdict: "down", Held: "site taiwan looks down, observed for 4.0 s of 18.0 s", Down: 2, Quorum: 2, ObservedMS: 4000, TakeoverMS: 18000,
		HeardMSAgo: ms(4000), Contact: true, Votes: []failover.Vote{
			{Name: "health_check ping", Says: "down", Reason: "timed out after 1s", SinceMS: 3500},
			{Name: "witness sg", Says: "unknown", Reason: "it has not answered yet"},
		},
	}}
	s.Partners = []failover.PartnerStatus{
		{ID: "site mainland/witness sg", Address: "203.0.113.200:7112", AnsweredMSAgo: ms(300), RTTMS: ms(31.4), Outcomes: map[string]uint64{"ok": 9, "wrong_key": 2}, Refused: []failover.Refusal{{Outcome: "wrong_key", Peer: "203.0.113.200:7112", MSAgo: 42100}}},
		{ID: "site mainland/watcher hk", Address: "203.0.113.130:7112", Error: "connection refused"},
	}
	s.Heard = []failover.NodeStatus{{About: "mainland", Site: "hk", Node: "hk1", HeardMSAgo: 450, States: map[string]string{"4/51": "ready", "6/51": "out"}, Namesakes: "several nodes, at 203.0.113.1 and 203.0.113.2, have this router_id"}}
	s.Listeners = []failover.ListenerStatus{{Address: "0.0.0.0:7112", Open: true, Outcomes: map[string]uint64{"ok": 4, "replay": 1, "flood": 7}, Refused: []failover.Refusal{
		{Outcome: "replay", Peer: "198.51.100.7:40000", MSAgo: 3 * 3600_000}, {Outcome: "flood", Peer: "198.51.100.8:1", MSAgo: 10},
	}}}
	var b strings.Builder
	if err := Table(&b, s, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "no virtual routers\n\n")
	want := `SITE      AUTHORITY  LEFT          WHY
mainland  valid      6.1 of 7.0 s  acknowledged by witness sg

WATCHED SITE  VERDICT  DOWN VOTES   HEARD       OBSERVED       TAKEOVER HELD BACK
taiwan        down     2, 2 needed  4000ms ago  4.0 of 18.0 s  site taiwan looks down, observed for 4.0 s of 18.0 s
    health_check ping says down: timed out after 1s (for 3.5 s)
    witness sg says unknown: it has not answered yet

PARTNER                   ADDRESS             ANSWERED   RTT     REFUSED
site mainland/witness sg  203.0.113.200:7112  300ms ago  31.4ms  wrong_key 2
    last wrong_key: 203.0.113.200:7112, 42s ago
site mainland/watcher hk  203.0.113.130:7112  never      -       -
    connection refused

HEARS NODE  OF SITE  ABOUT     LAST       SAYS (FAMILY/VRID)
hk1         hk       mainland  450ms ago  4/51 ready, 6/51 out
    several nodes, at 203.0.113.1 and 203.0.113.2, have this router_id

HEARTBEATS AT  SOCKET  REFUSED
0.0.0.0:7112   open    flood 7, replay 1
    last replay: 198.51.100.7:40000, 3h00m ago
    last flood: 198.51.100.8:1, 0.0s ago
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
