package failovertest

import (
	"math/rand/v2"
	"time"

	"failoverd/failover"
)

// Course is what happens to a world: what its hosts have in common, and the faults. It is data: a fault can be left out, and
// the rest still happens. Only what is left to chance between them, such as how long a packet is on its way, is drawn from
// the seed while the course is played.
type Course struct {
	Seed    uint64
	Profile Profile
	Faults  []Fault // by At
}

// Fault is something that happens to a host, or to the LAN.
type Fault struct {
	At   time.Duration // since the start
	Kind string        // a key of kinds
	// Host is the name of a host. Active: the one that is Active then for a router that N chooses, or else for another one.
	Host string
	For  time.Duration // how long it lasts; 0 for what does not last
	N    uint64        // whatever else there is to choose is drawn from it
}

// Active is the host of a fault that happens to whoever is Active.
const Active = "active"

// Draw returns the course of a seed. Most courses are short: a fault or two find what there is to be found by them, and
// long ones find what needs more, at a cost.
func Draw(seed uint64) Course {
	r := rand.New(rand.NewPCG(seed, 0xc0de))
	c := Course{Seed: seed, Profile: drawProfile(r)}
	at := upTo(r, 2*c.Profile.longest())
	for range Choose(r, 1, 1, 2, 2, 2, 3, 3, 4, 6, 14) {
		c.Faults = append(c.Faults, drawFault(r, &c.Profile, at.Truncate(time.Microsecond)))
		at += drawPause(r, &c.Profile)
	}
	c.drawExtras()
	return c
}

func drawFault(r *rand.Rand, p *Profile, at time.Duration) Fault {
	return drawFaultOf(r, p, at, Choose(r, weighted...))
}

func drawFaultOf(r *rand.Rand, p *Profile, at time.Duration, kind string) Fault {
	f := Fault{At: at, Kind: kind, Host: Active}
	if r.IntN(5) < 2 { // what happens to an Active router is more interesting
		f.Host = hostName(r.IntN(p.hosts()))
	}
	if lasts := kinds[f.Kind].lasts; lasts != nil {
		f.For = lasts(r, p).Truncate(time.Microsecond)
	}
	f.N = r.Uint64N(1000)
	return f
}

// drawPause draws how long it takes until the next thing happens: often no time at all, sometimes long enough for calm.
func drawPause(r *rand.Rand, p *Profile) time.Duration {
	switch r.IntN(4) {
	case 0:
		return upTo(r, 20*time.Millisecond)
	case 1:
		return upTo(r, p.interval)
	case 2:
		return upTo(r, 6*p.interval)
	}
	return p.longest() + upTo(r, p.longest())
}

// upTo draws a duration in [0, d).
func upTo(r *rand.Rand, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(r.Int64N(int64(d)))
}

func hostName(i int) string { return string(rune('a' + i)) }

// kind is what can happen.
type kind struct {
	do func(s *scenario, h *Host, f *Fault, r *rand.Rand)
	// lasts draws how long it lasts; nil: it does not last.
	lasts func(*rand.Rand, *Profile) time.Duration
}

// aWhile is how long most things last.
func aWhile(r *rand.Rand, p *Profile) time.Duration { return upTo(r, p.longest()+p.lease) }

// aFreeze is less than an interval, or long enough for others to notice, or for the kernel to remove the addresses.
func aFreeze(r *rand.Rand, p *Profile) time.Duration {
	return Choose(r, p.interval, 4*p.interval, p.lease+time.Second, 2*p.longest())/4*3 + upTo(r, p.interval)
}

// aStop is long enough for an orderly stop, whatever hangs.
func aStop(r *rand.Rand, p *Profile) time.Duration { return failover.StopBound + aWhile(r, p) }

var kinds map[string]kind

func init() {
	kinds = map[string]kind{
		"bad_paths":        {(*scenario).badPaths, aWhile},
		"cut":              {(*scenario).cut, aWhile},
		"crash":            {(*scenario).crash, aWhile},
		"kill":             {(*scenario).kill, nil},
		"upgrade":          {(*scenario).upgrade, nil},
		"power_cut":        {(*scenario).powerCut, aWhile},
		"freeze":           {(*scenario).freeze, aFreeze},
		"restart":          {(*scenario).restart, aStop},
		"link_flap":        {(*scenario).linkFlap, aWhile},
		"source_gone":      {(*scenario).sourceGone, aWhile},
		"foreign_deletion": {(*scenario).foreignDeletion, nil},
		"add_fails":        {(*scenario).addFails, aWhile},
		"speaker_dies":     {(*scenario).speakerDies, nil},
		"speaker_hangs":    {(*scenario).speakerHangs, aWhile},
		"session_lost":     {(*scenario).sessionLost, aWhile},
		"reload":           {(*scenario).reload, nil},
		"identical_reload": {(*scenario).identicalReload, nil},
		"noise":            {(*scenario).noise, nil},
		"slow":             {(*scenario).slow, aWhile},
		"quick_turn":       {(*scenario).quickTurn, nil},

		"check_fails":  {(*scenario).checkFails, aWhile},
		"side_link":    {(*scenario).sideLinkDown, aWhile},
		"another_rule": {(*scenario).anotherRule, nil},

		"web_fails":     {(*scenario).webFails, aTrouble},
		"drain_service": {(*scenario).drainService, aWhile},

		"origin_invalid": {(*scenario).originInvalid, aTrouble},
		"cache_dies":     {(*scenario).cacheDies, aTrouble},

		"device_deleted": {(*scenario).deviceDeleted, nil},
		"device_fails":   {(*scenario).deviceFails, aWhile},
		"without_vmac":   {(*scenario).withoutVMAC, nil},

		"flutter": {(*scenario).flutter, nil},

		"object_deleted": {(*scenario).objectDeleted, nil},
		"object_fails":   {(*scenario).objectFails, aWhile},
		"without_routes": {(*scenario).withoutRoutes, nil},
	}
}

// weighted are the kinds to draw from.
var weighted = []string{
	"bad_paths", "cut", "cut", "crash", "crash", "power_cut", "freeze", "freeze", "freeze", "restart", "restart", "link_flap",
	"link_flap", "source_gone", "foreign_deletion", "foreign_deletion", "add_fails", "speaker_dies", "speaker_dies",
	"speaker_hangs", "session_lost", "reload", "reload", "reload", "identical_reload", "identical_reload", "noise", "noise",
	"slow", "quick_turn", "kill", "kill", "kill", "upgrade", "upgrade",
}
