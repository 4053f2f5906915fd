package integration

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestMetrics: what Prometheus reads is what the agent does: the role, its addresses, and what it has heard.
func TestMetrics(t *testing.T) {
	t.Parallel()
	notShort(t)
	n := newLAN(t, false)
	listen := lines("global_defs {", "    metrics_listen 192.0.2.1:9112", "}")
	a := startAgent(t, n.lab, n.a, listen+n.instance(prioA, 3, "0.2"))
	a.waitState("MASTER", 8*time.Second)
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	b.waitState("BACKUP", 5*time.Second)
	// The client of the lab asks, as a Prometheus on another host would.
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			err = n.c.Do(func() (err error) {
				c, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return c, err
		},
	}}
	scrape := func() string {
		r, err := client.Get("http://192.0.2.1:9112/metrics")
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err.Error()
		}
		return string(body)
	}
	has := func(want ...string) func() bool {
		return func() bool {
			body := scrape()
			for _, w := range want {
				if !strings.Contains(body, w+"\n") {
					return false
				}
			}
			return true
		}
	}
	waitFor(t, 5*time.Second, "the metrics of a MASTER", has(
		`failoverd_router_state{router="V",state="MASTER",vr="eth0/4/51"} 1`,
		`failoverd_router_addresses_wanted{router="V",vr="eth0/4/51"} 1`,
		`failoverd_router_addresses_present{router="V",vr="eth0/4/51"} 1`,
		`failoverd_router_became_master_total{router="V",vr="eth0/4/51"} 1`,
	))
	if out, code := a.cli("drain"); code != 0 {
		t.Fatalf("drain: %d: %s", code, out)
	}
	waitFor(t, 5*time.Second, "the metrics of a BACKUP", has(
		`failoverd_router_state{router="V",state="BACKUP",vr="eth0/4/51"} 1`,
		`failoverd_router_drained{router="V",vr="eth0/4/51"} 1`,
		`failoverd_router_addresses_present{router="V",vr="eth0/4/51"} 0`,
		`failoverd_router_released_master_total{router="V",vr="eth0/4/51"} 1`,
		`failoverd_router_master_info{master="192.0.2.2",router="V",vr="eth0/4/51"} 1`,
	))
}
