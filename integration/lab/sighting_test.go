package lab

import (
	"strings"
	"testing"
	"time"
)

func TestInOrder(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(100, 0).Add(time.Duration(ms) * time.Millisecond) }
	list := []Sighting{
		{At: at(1), Node: "m1", What: "vrrp priority 200"},
		{At: at(3), Node: "m1", What: "address added 198.51.100.10/32", Early: 2 * time.Millisecond},
		{At: at(2), Node: "m1", What: "arp announces 198.51.100.10"},
		{At: at(9), Node: "m1", What: "bgp announce 198.51.100.0/24"},
		{At: at(20), Node: "m2", What: "vrrp priority 150"},
	}
	advert, address := Step{"m1", []string{"vrrp", "200"}}, Step{"m1", []string{"address added"}}
	garp, update := Step{"m1", []string{"arp announces"}}, Step{"", []string{"bgp", "198.51.100.0/24"}}
	for _, c := range []struct {
		name  string
		since time.Time
		steps []Step
		want  string // part of the error; empty: none
	}{
		{"in order, as far as one can know", at(0), []Step{advert, address, garp, update}, ""},
		{"no steps", at(0), nil, ""},
		{"packets the wrong way round", at(0), []Step{garp, advert}, "step 2 (m1 [\"vrrp\" \"200\"]): 1ms before"},
		{"a change that is certainly too late", at(0), []Step{update, address}, "6ms before"},
		{"the step in the middle hides nothing", at(0), []Step{update, garp, address}, "step 2"},
		{"not seen", at(0), []Step{advert, {"m1", []string{"na announces"}}}, "not seen"},
		{"seen on another node", at(0), []Step{{"m2", []string{"address added"}}}, "not seen"},
		{"seen before", at(5), []Step{advert}, "not seen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := InOrder(list, c.since, c.steps...)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
