package health

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// Lookup says which paths the neighbors of a speaker have sent for a prefix: see gobgp.Client.Seen.
type Lookup func(ctx context.Context, speaker string, prefix netip.Prefix) (bgp.Sighting, error)

// proberFor makes what looks for a health_check.
type proberFor func(*failover.CheckConfig) prober

// newProber returns what looks as a health_check says.
func newProber(c *failover.CheckConfig, lookup Lookup) prober {
	w := way{source: c.Source, device: c.Interface, namespace: c.NetNamespace}
	switch p := &c.Probe; p.Kind {
	case failover.ProbeTCP:
		return tcpProber(p.Target, w)
	case failover.ProbeHTTP:
		return httpProber(p, w)
	case failover.ProbeICMP:
		return (&pinger{host: p.Target, way: w}).probe
	case failover.ProbeBGPRoute:
		return routeProber(p, lookup)
	case failover.ProbeDNS:
		return dnsProber(p, w)
	case failover.ProbeGRPC:
		return grpcProber(p, w)
	case failover.ProbePrometheus:
		return prometheusProber(p, w)
	case failover.ProbeLink:
		return linkProber(p.Target, w)
	default:
		panic(fmt.Sprintf("kind of probe %d", p.Kind))
	}
}

// tcpProber opens a connection and closes it.
func tcpProber(address string, w way) prober {
	to, err := newTarget(address, 0)
	if err != nil {
		return senseless(err)
	}
	return func(ctx context.Context) outcome {
		begun := time.Now()
		err := w.knock(ctx, &to)
		if err != nil {
			return w.failure(ctx, err)
		}
		took := time.Since(begun)
		return outcome{ok: true, rtt: took, cause: "connected"}
	}
}

// senseless stands for a probe that cannot be: conf lets none of these pass.
func senseless(err error) prober {
	o := outcome{blind: true, cause: harmless(err.Error())}
	return func(context.Context) outcome { return o }
}

// routeProber looks whether a prefix is visible in BGP: in what one neighbor has sent, or in what each of them has. Without a
// session nobody can tell.
func routeProber(p *failover.Probe, lookup Lookup) prober {
	return func(ctx context.Context) outcome {
		passed := hinder(ctx, "speaker "+p.Speaker+": does not answer in time")
		seen, err := lookup(ctx, p.Speaker, p.Prefix)
		if err != nil {
			return outcome{blind: true, cause: harmless("speaker " + p.Speaker + ": " + err.Error())}
		}
		passed()
		first, others := "", ""
		from := make(map[netip.Addr]bool)
		for i := range seen.Paths {
			q := &seen.Paths[i]
			as := strconv.FormatUint(uint64(q.Origin(q.NeighborAS)), 10)
			if p.OriginAS != 0 && p.OriginAS != q.Origin(q.NeighborAS) {
				others += " " + as
				continue
			}
			from[q.Neighbor] = true
			if first == "" {
				first = fmt.Sprintf("seen from %v, origin AS %s", q.Neighbor, as)
			}
		}
		switch {
		case first != "" && !p.AllNeighbors:
			return outcome{ok: true, cause: first}
		case first != "":
			return everywhere(seen.Neighbors, from)
		case others != "":
			return outcome{cause: "not seen with that origin", said: "origin AS" + others}
		}
		return outcome{cause: "not seen"}
	}
}

// everywhere is the outcome of a probe that wants a path from each neighbor.
func everywhere(neighbors []netip.Addr, from map[netip.Addr]bool) outcome {
	for _, n := range neighbors {
		if !from[n] {
			return outcome{cause: fmt.Sprintf("not seen from %v", n)}
		}
	}
	if len(neighbors) == 1 {
		return outcome{ok: true, cause: fmt.Sprintf("seen from %v, the only neighbor with a session", neighbors[0])}
	}
	return outcome{ok: true, cause: fmt.Sprintf("seen from all %d neighbors with a session", len(neighbors))}
}
