package vrrptest

import (
	"encoding/binary"
	"fmt"

	"failoverd/vrrp/wire"
)

// Mutation is a wrong way to read the RFC. Every one has been shipped by somebody.
type Mutation uint8

// The mutations of an Oracle.
const (
	Faithful Mutation = iota
	// UnmaskedNibble takes the reserve nibble for a part of the interval.
	UnmaskedNibble
	// SkewFromOwnInterval computes Skew_Time from the router's own interval.
	SkewFromOwnInterval
	// BackupComparesAddresses makes a Backup discard adverts of its own priority from lower addresses.
	BackupComparesAddresses
	// LowerPriorityResetsTimer makes a Backup that preempts start its timer again with every advert it discards.
	LowerPriorityResetsTimer
	// ReleaseAdopted takes the interval out of a release.
	ReleaseAdopted
	// ReleaseExtends lets a release put the timer off.
	ReleaseExtends
	// SignedCompare breaks ties as if addresses were signed numbers.
	SignedCompare
	// NoReadvertise makes an Active router wait for its timer when it hears a lower priority.
	NoReadvertise
	// AdvertisesLearnedInterval keeps the interval of the Active router before, and advertises that.
	AdvertisesLearnedInterval

	numMutations
)

// Mutations returns every mutation but Faithful.
func Mutations() []Mutation {
	var all []Mutation
	for m := Faithful + 1; m < numMutations; m++ {
		all = append(all, m)
	}
	return all
}

var mutationNames = [numMutations]string{
	Faithful:                  "faithful",
	UnmaskedNibble:            "reserve nibble unmasked",
	SkewFromOwnInterval:       "skew from own interval",
	BackupComparesAddresses:   "backup compares addresses",
	LowerPriorityResetsTimer:  "lower priority resets the timer",
	ReleaseAdopted:            "release adopted",
	ReleaseExtends:            "release extends the timer",
	SignedCompare:             "signed address compare",
	NoReadvertise:             "no re-advertise on lower priority",
	AdvertisesLearnedInterval: "learned interval advertised",
}

// String returns the mutation in words.
func (m Mutation) String() string {
	if m >= numMutations {
		panic(fmt.Sprintf("vrrptest: mutation %d", uint8(m)))
	}
	return mutationNames[m]
}

// decoder returns the mutation's way to read packets.
func (m Mutation) decoder() Decoder {
	if m != UnmaskedNibble {
		return wire.Parse
	}
	return func(b []byte, h wire.Header, p *wire.Packet) wire.DropReason {
		why := wire.Parse(b, h, p)
		if why == wire.Accepted && p.Version == wire.V3 {
			p.Interval = wire.Centiseconds(binary.BigEndian.Uint16(b[4:]))
		}
		return why
	}
}
