package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"failoverd/failover"
	"failoverd/vrrp"
)

// Kinds of inputs. A recording names them, so they never change.
const (
	kindInterface    = "interface"
	kindLink         = "link"
	kindAddresses    = "addresses"
	kindSpeaker      = "speaker"
	kindRPKI         = "rpki"
	kindTracker      = "tracker"
	kindObjects      = "objects"
	kindDevices      = "devices"
	kindReply        = "heartbeat_reply"
	kindHeard        = "heartbeat_heard"
	kindDrain        = "drain"
	kindUndrain      = "undrain"
	kindSwitchover   = "switchover"
	kindTakeovers    = "takeovers"
	kindReconfigured = "reconfigured"
	kindStop         = "stop"
	kindClaimed      = "claimed"
)

// addressReport is a failover.AddressReport that has JSON. Large reports are much alike: Same says that Present is what it
// was in the report before.
type addressReport struct {
	failover.AddressReport
	Same   bool `json:",omitempty"`
	Failed []failed[failover.AddressKey]
}

// objectReport is a failover.ObjectReport that has JSON.
type objectReport struct {
	failover.ObjectReport
	RoutesFailed []failed[failover.RouteKey]
	RulesFailed  []failed[failover.KernelRule]
}

// failed is an entry of a map from things to reasons. Which comes first does not matter, but two recordings of the same
// are to be the same.
type failed[K comparable] struct {
	What K
	Why  string
}

func listFailed[K comparable](m map[K]string) (list []failed[K]) {
	for k, why := range m {
		list = append(list, failed[K]{k, why})
	}
	sort.Slice(list, func(i, j int) bool { return fmt.Sprint(list[i].What) < fmt.Sprint(list[j].What) })
	return list
}

func mapFailed[K comparable](list []failed[K]) map[K]string {
	if list == nil {
		return nil
	}
	m := make(map[K]string, len(list))
	for _, f := range list {
		m[f.What] = f.Why
	}
	return m
}

// inheritance holds the arguments of failover.Core.Inherit.
type inheritance struct {
	Heirs       []failover.Heir
	Resume      bool
	Died, Until vrrp.Instant
}

// recall holds the arguments of failover.Core.Recall.
type recall struct {
	Origins []failover.LegacyOrigin
}

// reconfigured names a configuration that came in a line of its own.
type reconfigured struct{ Number int }

// encodeInput returns the kind of in, and its fields as JSON. The input belongs to the core afterwards, so this is done
// before. present is that of the last AddressesReported; reports a number for a configuration.
func encodeInput(in failover.Input, present *[]failover.AddressKey, number int) (kind string, with []byte, err error) {
	var v any = in
	switch in := in.(type) {
	case failover.InterfaceChanged:
		kind = kindInterface
	case failover.LinkChanged:
		kind = kindLink
	case failover.AddressesReported:
		kind = kindAddresses
		r := addressReport{AddressReport: in.Report, Failed: listFailed(in.Report.Failed)}
		r.AddressReport.Failed = nil
		if len(in.Report.Present) > 0 && slices.Equal(*present, in.Report.Present) {
			r.Present, r.Same = nil, true
		} else {
			*present = slices.Clone(in.Report.Present)
		}
		v = r
	case failover.SpeakerReported:
		kind = kindSpeaker
	case failover.RPKIReported:
		kind = kindRPKI
	case failover.TrackerReported:
		kind = kindTracker
	case failover.ObjectsReported:
		kind = kindObjects
		r := objectReport{in.Report, listFailed(in.Report.RoutesFailed), listFailed(in.Report.RulesFailed)}
		r.ObjectReport.RoutesFailed, r.ObjectReport.RulesFailed = nil, nil
		v = r
	case failover.DevicesReported:
		kind = kindDevices
	case failover.HeartbeatReplied:
		kind = kindReply
	case failover.HeartbeatHeard:
		kind = kindHeard
	case failover.DrainCommand:
		kind = kindDrain
	case failover.UndrainCommand:
		kind = kindUndrain
	case failover.SwitchoverCommand:
		kind = kindSwitchover
	case failover.Takeovers:
		kind = kindTakeovers
	case failover.Reconfigured:
		kind, v = kindReconfigured, reconfigured{number}
	case failover.Stop:
		kind = kindStop
	case failover.AddressClaimed:
		kind = kindClaimed
	default:
		panic(in)
	}
	if with, err = json.Marshal(v); err != nil {
		return kind, nil, fmt.Errorf("record %s: %w", kind, err)
	}
	return kind, with, nil
}

// decodeInput is the opposite of encodeInput.
func decodeInput(kind string, with []byte, present *[]failover.AddressKey, config func(number int) (*failover.Config, error)) (failover.Input, error) {
	switch kind {
	case kindInterface:
		return decodeAs[failover.InterfaceChanged](kind, with)
	case kindLink:
		return decodeAs[failover.LinkChanged](kind, with)
	case kindAddresses:
		return decodeAddresses(with, present)
	case kindSpeaker:
		return decodeAs[failover.SpeakerReported](kind, with)
	case kindRPKI:
		return decodeAs[failover.RPKIReported](kind, with)
	case kindTracker:
		return decodeAs[failover.TrackerReported](kind, with)
	case kindObjects:
		var r objectReport
		if err := decode(kind, with, &r); err != nil {
			return nil, err
		}
		in := failover.ObjectsReported{Report: r.ObjectReport}
		in.Report.RoutesFailed, in.Report.RulesFailed = mapFailed(r.RoutesFailed), mapFailed(r.RulesFailed)
		return in, nil
	case kindDevices:
		return decodeAs[failover.DevicesReported](kind, with)
	case kindReply:
		return decodeAs[failover.HeartbeatReplied](kind, with)
	case kindHeard:
		return decodeAs[failover.HeartbeatHeard](kind, with)
	case kindDrain:
		return decodeAs[failover.DrainCommand](kind, with)
	case kindUndrain:
		return decodeAs[failover.UndrainCommand](kind, with)
	case kindSwitchover:
		return decodeAs[failover.SwitchoverCommand](kind, with)
	case kindTakeovers:
		return decodeAs[failover.Takeovers](kind, with)
	case kindReconfigured:
		var r reconfigured
		if err := decode(kind, with, &r); err != nil {
			return nil, err
		}
		cfg, err := config(r.Number)
		if err != nil {
			return nil, err
		}
		return failover.Reconfigured{Config: cfg}, nil
	case kindStop:
		return decodeAs[failover.Stop](kind, with)
	case kindClaimed:
		return decodeAs[failover.AddressClaimed](kind, with)
	}
	return nil, fmt.Errorf("unknown kind of input %q", kind)
}

func decodeAddresses(with []byte, present *[]failover.AddressKey) (failover.Input, error) {
	var r addressReport
	if err := decode(kindAddresses, with, &r); err != nil {
		return nil, err
	}
	in := failover.AddressesReported{Report: r.AddressReport}
	in.Report.Failed = mapFailed(r.Failed)
	if r.Same {
		in.Report.Present = slices.Clone(*present)
	} else {
		*present = slices.Clone(in.Report.Present)
	}
	return in, nil
}

func decodeAs[T failover.Input](kind string, with []byte) (failover.Input, error) {
	var v T
	if err := decode(kind, with, &v); err != nil {
		return nil, err
	}
	return v, nil
}

func decode(kind string, with []byte, v any) error {
	if err := json.NewDecoder(bytes.NewReader(with)).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}
