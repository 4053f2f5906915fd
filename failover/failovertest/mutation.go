package failovertest

import (
	"net/netip"
	"slices"
	"strings"

	"failoverd/bgp"
	"failoverd/failover"
)

// Mutation is a rule broken on purpose, in the core's effects or in what surrounds it.
type Mutation uint8

// The mutations. Each is something that a program of this kind has got wrong.
const (
	Faithful             Mutation = iota
	EarlyAnnouncement             // the route and the gratuitous ARP do not wait for the kernel
	LostRemoval                   // the one request to remove an address gets lost, and nobody asks again
	LostWithdrawal                // the same with a route
	EarlyAcknowledgement          // addresses are not kept until the routes are withdrawn
	HastyStop                     // the process ends without waiting for anything
	NoFarewell                    // no advertisement of priority 0
	EternalLease                  // addresses are written without a lifetime
	DeafWhenActive                // an Active router does not listen to others
	OptimisticReport              // what was asked for is reported, not what is there
	TimersFirst                   // timers before inputs
	ForgetfulReload               // a reload starts from nothing
	CarelessReader                // the TTL of a received packet is not looked at
	BeyondTheList                 // a route leaves that no configuration has
	StubbornActive                // an advertisement goes on being sent after the role is lost
	Usurper                       // an agent resumes roles that have been given away for it
	EdgeRemoval                   // only what has just ceased to be wanted is removed, and only once
	NoGrace                       // in an orderly move the addresses go as soon as the routes are withdrawn
	HastyPromotion                // an advertisement of a lower priority makes a Backup take over
	DeafToChecks                  // only the first result of each health check counts
	Miscount                      // a check group is up with one member less than it needs
	EarlyObjects                  // routes and rules do not wait for the addresses, and are taken for out as soon as they are to go
	BlindKeepLast                 // a service believes that others announce it
	DeafToRPKI                    // nobody hears of the RPKI cache
	LostObjects                   // the request to remove routes and rules gets lost
	WrongDevice                   // addresses are put on the interface that carries the macvlan interface
	LeftDevice                    // a stop leaves the macvlan interfaces
	PlainMAC                      // advertisements leave from the address of the interface
	Impatient                     // nothing limits the changes of a prefix
	PatientWithdrawal             // a withdrawal waits like any other change
	ForgottenVerdicts             // an upgrade does not hand over what the checks have found
	Oblivious                     // what was known of RPKI is not handed over

	numMutations
)

var mutationNames = [numMutations]string{
	"faithful", "early announcement", "lost removal", "lost withdrawal", "early acknowledgement", "hasty stop", "no farewell",
	"eternal lease", "deaf when active", "optimistic report", "timers first", "forgetful reload", "careless reader",
	"beyond the list", "stubborn active", "usurper",
	"edge-triggered removal", "no grace", "hasty promotion", "deaf to checks", "miscount",
	"early objects", "blind keep_last", "deaf to RPKI", "lost objects",
	"wrong device", "left device", "plain link-layer address", "impatient", "patient withdrawal", "forgotten verdicts", "oblivious",
}

// String returns the mutation in words.
func (m Mutation) String() string { return mutationNames[m] }

// Mutations returns every mutation but Faithful.
func Mutations() (all []Mutation) {
	for m := Faithful + 1; m < numMutations; m++ {
		all = append(all, m)
	}
	return all
}

// configure returns a configuration as an agent gets it.
func (m Mutation) configure(cfg *failover.Config) *failover.Config {
	another := *cfg
	switch {
	case m == NoGrace:
		another.Routers = slices.Clone(cfg.Routers)
		for i := range another.Routers {
			another.Routers[i].WithdrawGrace = 0
		}
	case m == Impatient:
		another.Speakers = slices.Clone(cfg.Speakers)
		for i := range another.Speakers {
			another.Speakers[i].MaxChanges, another.Speakers[i].Calm = 0, false
		}
	case m == Miscount && len(cfg.CheckGroups) > 0:
		another.CheckGroups = slices.Clone(cfg.CheckGroups)
		another.CheckGroups[0].AtLeast--
	default:
		return cfg
	}
	return &another
}

// distort changes the effects of a batch before they are carried out.
func (m Mutation) distort(a *agent) {
	fx, now := &a.fx, a.local()
	switch m {
	case EarlyAnnouncement:
		if fx.Addresses == nil {
			return
		}
		rep := failover.AddressReport{Generation: fx.Addresses.Generation}
		for i := range fx.Addresses.Addresses {
			rep.Present = append(rep.Present, fx.Addresses.Addresses[i].Key())
		}
		a.core.Step(now, failover.AddressesReported{Report: rep}, fx)
		a.core.Expire(now, fx)
		a.core.Flush(now, fx)
	case LostRemoval:
		if fx.Addresses != nil && len(fx.Addresses.Addresses) < len(a.worker.want.Addresses) {
			fx.Addresses = nil
		}
	case EarlyObjects:
		if fx.Objects != nil {
			a.core.Step(now, failover.ObjectsReported{Report: failover.ObjectReport{Generation: fx.Objects.Generation}}, fx)
			a.core.Flush(now, fx)
		}
	case LostObjects:
		if fx.Objects != nil && len(fx.Objects.Routes) < len(a.objects.want.Routes) {
			fx.Objects = nil
		}
	case LostWithdrawal:
		fx.Routes = slices.DeleteFunc(fx.Routes, func(r failover.SpeakerRoutes) bool {
			return len(r.Desired.Routes) < len(a.desired[r.Speaker].Routes)
		})
	case PatientWithdrawal:
		fx.Routes = slices.DeleteFunc(fx.Routes, func(r failover.SpeakerRoutes) bool {
			return slices.ContainsFunc(a.desired[r.Speaker].Routes, func(x bgp.Route) bool {
				return !hasPrefix(r.Desired.Routes, x.Prefix) && !a.mayChange(x.Prefix)
			})
		})
	case PlainMAC:
		for i := range fx.Adverts {
			fx.Adverts[i].MAC = [6]byte{}
		}
	case HastyStop:
		fx.Stopped = fx.Stopped || a.stopAt == a.world.now
	case NoFarewell:
		fx.Adverts = slices.DeleteFunc(fx.Adverts, func(v failover.Advert) bool {
			return strings.Contains(describeAdvert(&v), "priority 0")
		})
	case BeyondTheList:
		for i := range fx.Routes {
			d := &fx.Routes[i].Desired
			d.Routes = append(slices.Clone(d.Routes), bgp.Route{Prefix: netip.MustParsePrefix("203.0.113.0/24")})
		}
	case StubbornActive:
		for i := range fx.Events {
			if e := &fx.Events[i]; e.Kind == failover.EventTransition && e.From == "MASTER" && len(a.sent.Payload) > 0 {
				fx.Adverts = append(fx.Adverts, a.sent)
			}
		}
		for _, v := range fx.Adverts {
			v.Payload = slices.Clone(v.Payload)
			a.sent = v
		}
	}
}
