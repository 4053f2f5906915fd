package integration

import (
	"fmt"
	"strings"
)

// ending is what becomes of the service after a cut.
type ending uint8

const (
	stays    ending = iota // nothing happens to it
	moved                  // to the other router of the mainland
	released               // to HK, because the mainland says that it cannot serve
	orphaned               // to HK, at the latest after takeover_after: whoever could have released the role may have died with it
	silence                // to HK, after takeover_after
	fenced                 // the mainland ends it after fence_after, HK begins after takeover_after
	ends                   // nobody serves until the cut is mended
)

// endingText says what the words of the table mean, and where their bound comes from.
var endingText = [...]string{
	stays:    "no probe is lost",
	moved:    "as long as the power cut of a node",
	released: "as long as the loss of the uplink",
	orphaned: "at most as long as the power cut of the site",
	silence:  "as long as the power cut of the site",
	fenced:   "from `fence_after` at the earliest to the end of a power cut of the site",
	ends:     "until it is mended",
}

// cutRow is one line of the cut matrix: what is cut, and what is expected with a witness and without one. Masters and
// announcers are those at the end, each a list of m1, m2 and hk, "-" for none.
type cutRow struct {
	cuts          []*cut
	with, without expectation
	ci            bool // part of every run; the others are for FAILOVERD_NIGHTLY=1
	why           string
}

// expectation is one half of a row; an empty masters means that the row does not exist in that half.
type expectation struct {
	masters, announces string
	ending             ending
}

func on(who string, e ending) expectation { return expectation{who, who, e} }

var (
	onM1, onM2                  = on("m1", stays), on("m2", moved)
	hkReleased, hkSilence, none = on("hk", released), on("hk", silence), on("-", ends)
	hkOrphaned                  = on("hk", orphaned)
	hkFenced                    = on("hk", fenced)
	bothHold                    = on("m1 m2", stays)
	absent                      expectation
)

// cutTable is the cut matrix: every single cut and every pair that makes sense. A pair is left out when one of the cuts
// contains the other: power of the mainland contains that of m1; the inter-region path contains its two directions.
var cutTable = []cutRow{
	{[]*cut{cutLAN}, hkFenced, bothHold, true, "nobody outside hears the mainland, so it fences itself; on hold its two routers no longer hear each other, and both serve"},
	{[]*cut{cutUplinkM}, hkReleased, hkReleased, true, "track_bgp takes both routers out, and they say so"},
	{[]*cut{cutBetween}, onM1, onM1, true, "the witness hears the mainland; without one, the checks reach it"},
	{[]*cut{cutToHK}, onM1, onM1, true, "as above"},
	{[]*cut{cutFromHK}, onM1, onM1, true, "the witness acknowledges the mainland; without one it holds"},
	{[]*cut{cutUplinkK}, onM1, onM1, true, "HK is out, and the mainland does not need it"},
	{[]*cut{cutWitnessM}, onM1, absent, true, "HK acknowledges the mainland"},
	{[]*cut{cutWitnessK}, onM1, absent, true, "HK hears the mainland"},
	{[]*cut{cutNode}, onM2, onM2, true, "the mainland's own election"},
	{[]*cut{cutSite}, hkSilence, hkSilence, true, "what all of this is for"},

	{[]*cut{cutLAN, cutUplinkM}, hkSilence, hkSilence, true, "the mainland is cut off, and fences itself"},
	{[]*cut{cutLAN, cutBetween}, hkFenced, bothHold, false, "as the LAN alone"},
	{[]*cut{cutLAN, cutToHK}, hkFenced, bothHold, false, "as the LAN alone"},
	{[]*cut{cutLAN, cutFromHK}, hkFenced, bothHold, false, "as the LAN alone"},
	{[]*cut{cutLAN, cutUplinkK}, none, bothHold, false, "the mainland fences itself, and HK has no upstream"},
	{[]*cut{cutLAN, cutWitnessM}, hkFenced, absent, false, "as the LAN alone"},
	{[]*cut{cutLAN, cutWitnessK}, none, absent, false, "the mainland fences itself, and HK is as isolated as it is"},
	{[]*cut{cutLAN, cutNode}, hkFenced, on("m2", moved), false, "as the LAN alone, with one router"},
	{[]*cut{cutLAN, cutSite}, hkSilence, hkSilence, false, "as the power alone"},

	{[]*cut{cutUplinkM, cutBetween}, hkSilence, hkSilence, true, "a witness says that the mainland has let go, which counts once what HK heard itself is too old; without a witness it is silence"},
	{[]*cut{cutUplinkM, cutToHK}, hkSilence, hkSilence, false, "as above"},
	{[]*cut{cutUplinkM, cutFromHK}, hkReleased, hkReleased, false, "HK hears the mainland give the role away"},
	{[]*cut{cutUplinkM, cutUplinkK}, none, none, false, "no site has an upstream"},
	{[]*cut{cutUplinkM, cutWitnessM}, hkSilence, absent, false, "HK hears the mainland give the role away, and waits for as long as what the witness heard last may hold"},
	{[]*cut{cutUplinkM, cutWitnessK}, none, absent, false, "HK hears the mainland give the role away, and has nobody to ask whether it hears all of it"},
	{[]*cut{cutUplinkM, cutNode}, hkOrphaned, hkOrphaned, false, "m2 takes the role and loses its session as well, or loses it first: then the role died with m1"},
	{[]*cut{cutUplinkM, cutSite}, hkSilence, hkSilence, false, "as the power alone"},

	{[]*cut{cutBetween, cutUplinkK}, onM1, onM1, false, ""},
	{[]*cut{cutBetween, cutWitnessM}, hkFenced, absent, true, "nobody acknowledges the mainland: it fences itself before HK begins"},
	{[]*cut{cutBetween, cutWitnessK}, onM1, absent, true, "HK is isolated, and knows it"},
	{[]*cut{cutBetween, cutNode}, onM2, onM2, false, "the mainland's own election"},
	{[]*cut{cutBetween, cutSite}, hkSilence, hkSilence, false, "as the power alone"},

	{[]*cut{cutToHK, cutFromHK}, onM1, onM1, false, "the inter-region path in two steps"},
	{[]*cut{cutToHK, cutUplinkK}, onM1, onM1, false, ""},
	{[]*cut{cutToHK, cutWitnessM}, hkFenced, absent, false, "what HK sends arrives, but answers nothing: the mainland fences itself"},
	{[]*cut{cutToHK, cutWitnessK}, onM1, absent, false, "HK is isolated, and knows it"},
	{[]*cut{cutToHK, cutNode}, onM2, onM2, false, "the mainland's own election"},
	{[]*cut{cutToHK, cutSite}, hkSilence, hkSilence, false, "as the power alone"},

	{[]*cut{cutFromHK, cutUplinkK}, onM1, onM1, false, ""},
	{[]*cut{cutFromHK, cutWitnessM}, hkFenced, absent, true, "nobody acknowledges the mainland; HK hears it give the role away, and waits for as long as what the witness heard last may hold"},
	{[]*cut{cutFromHK, cutWitnessK}, onM1, absent, false, "the witness acknowledges the mainland"},
	{[]*cut{cutFromHK, cutNode}, onM2, onM2, false, "the mainland's own election"},
	{[]*cut{cutFromHK, cutSite}, hkSilence, hkSilence, false, "as the power alone"},

	{[]*cut{cutUplinkK, cutWitnessM}, onM1, absent, false, ""},
	{[]*cut{cutUplinkK, cutWitnessK}, onM1, absent, false, ""},
	{[]*cut{cutUplinkK, cutNode}, onM2, onM2, false, "the mainland's own election"},
	{[]*cut{cutUplinkK, cutSite}, none, none, false, "no site has an upstream"},

	{[]*cut{cutWitnessM, cutWitnessK}, onM1, absent, false, "HK acknowledges the mainland"},
	{[]*cut{cutWitnessM, cutNode}, onM2, absent, false, "the mainland's own election"},
	{[]*cut{cutWitnessM, cutSite}, hkSilence, absent, false, "as the power alone"},
	{[]*cut{cutWitnessK, cutNode}, onM2, absent, false, "the mainland's own election"},
	{[]*cut{cutWitnessK, cutSite}, none, absent, true, "HK has nobody to ask, so its silence may be its own: it stays BACKUP. Use two witnesses with different providers"},
}

// name returns what is cut, in words.
func (r *cutRow) name() string {
	names := make([]string, len(r.cuts))
	for i, c := range r.cuts {
		names[i] = c.name
	}
	return strings.Join(names, " + ")
}

// markdown is the table in the documentation.
func cutMarkdown(table []cutRow) string {
	var b strings.Builder
	b.WriteString(cutPreface)
	b.WriteString("\n| cut | with a witness, `isolated fence` | nobody serves | without, `isolated hold` | nobody serves | why |\n|---|---|---|---|---|---|\n")
	for i := range table {
		r := &table[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.name(), r.with.cells(), r.without.cells(), r.why)
	}
	return b.String()
}

// cells are two cells of the table: who is MASTER and announces at the end, and for how long nobody serves.
func (e expectation) cells() string {
	switch {
	case e.masters == "":
		return "| "
	case e.masters == "-":
		return "nobody | " + endingText[e.ending]
	case e.masters == e.announces:
		return e.masters + " | " + endingText[e.ending]
	}
	return e.masters + ", announced by " + e.announces + " | " + endingText[e.ending]
}

const cutPreface = `# The cut matrix

What one or two failures at once lead to, in a service of two regions: two routers on the mainland (m1, m2), a watcher in
Hong Kong (hk), a witness on a third site, an upstream of its own for each region. This file is written by the lab that
proves it (` + "`go test ./integration -run TestCutMatrix -write-cut-matrix`" + `); the rows are the expectations of
` + "`integration/cuttable_test.go`" + `.

Left: a witness acknowledges and votes, and a mainland that nobody hears fences itself. Right: no witness, two checks that
Hong Kong sends to the mainland's routers by way of both uplinks, and a mainland that serves on as long as its upstream
session and a check of the Internet are well. In every row at most one region holds the address at any time, and at most one
announces: the time for which both do is 0, but for the loss of the mainland's uplink, whose upstream may keep a route into
nothing for up to P_w = 1 s after the mainland has noticed. The bounds are those that ` + "`failoverd rto`" + ` prints for the configuration in question.
`
