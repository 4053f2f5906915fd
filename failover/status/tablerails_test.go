package status

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

func TestOriginsTable(t *testing.T) {
	s := sample()
	s.Routers, s.Links = nil, nil
	p := netip.MustParsePrefix("198.51.100.0/24")
	s.Speakers = []failover.SpeakerStatus{{
		Name: "EDGE", LocalAS: 64501, Connected: true,
		Held: []failover.HeldStatus{{Prefix: p, Until: s.TakenAt.Add(20 * time.Second), Withdrawn: true}},
		RPKI: &failover.RPKIStatus{
			Invalid: "refuse", Using: "192.0.2.9:323",
			Caches: []bgp.CacheStatus{
				{Address: "192.0.2.8:323", State: "down", Error: "connection \x1b[31mrefused"},
				{Address: "192.0.2.9:323", State: "up", Records: 600000, HasData: true, Synced: s.TakenAt.Add(-90 * time.Second), Expires: s.TakenAt.Add(time.Hour)},
			},
			Origins: []failover.OriginStatus{
				{Prefix: p, OriginAS: 64501, Validity: "invalid", Why: "AS64501 is not authorized: 198.51.100.0/24-24 AS64666", Effect: "it would be refused"},
				{Prefix: netip.MustParsePrefix("2001:db8:100::/48"), OriginAS: 64501, Validity: "valid", Wanted: true, Effect: "announced"},
			},
		},
	}}
	var b strings.Builder
	if err := Table(&b, s, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	until := s.TakenAt.Add(20 * time.Second).Local().Format(time.TimeOnly)
	_, got, _ := strings.Cut(b.String(), "no virtual routers\n\n")
	want := `SPEAKER  AS     STATE    SINCE  ANNOUNCES
EDGE     64501  running  -      nothing
    max_changes: the newest state of 198.51.100.0/24 is held back until ` + until + `, and it is withdrawn until then

RPKI CACHE     SPEAKER  STATE  RECORDS  CURRENT    DATA
192.0.2.8:323  EDGE     down   0        -          none
    error: connection \x1b[31mrefused
192.0.2.9:323  EDGE     up     600000   1m30s ago  in use, counts for another 59m59s

OWN PREFIX         SPEAKER  ORIGIN   RPKI     ANNOUNCEMENT
198.51.100.0/24    EDGE     AS64501  invalid  it would be refused
    AS64501 is not authorized: 198.51.100.0/24-24 AS64666
2001:db8:100::/48  EDGE     AS64501  valid    announced
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
