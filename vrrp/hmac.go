package vrrp

import (
	"errors"
	"fmt"
	"time"
)

// HMAC is the authentication of advertisements by shared keys, as keepalived 2.4 has it (auth_hmac,
// draft-cassen-vrrp-auth-hmac). Both versions, both families and every way of sending have it alike. It is immutable.
type HMAC struct {
	// Keys are all that verify; there is more than one while keys are being replaced.
	Keys []HMACKey
	// ActiveKey is the ID of the key that signs.
	ActiveKey  uint8
	AntiReplay AntiReplay
	// TimeWindow is how far the clock of a sender may be from ours under ReplayTime, 1 s to 300 s.
	TimeWindow time.Duration
	Mode       HMACMode
}

// HMACKey is a shared key.
type HMACKey struct {
	ID     uint8 // 1 to 255
	Secret Secret
}

// Secret is the octets of a key. It prints as a placeholder.
type Secret string

// Lengths of a key in octets.
const (
	MinSecret = 32
	MaxSecret = 64
)

// String returns a placeholder: what a program prints, somebody keeps.
func (Secret) String() string { return "(secret)" }

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String, for JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// AntiReplay says what keeps an advertisement from being sent again by somebody else.
type AntiReplay uint8

// Ways to refuse what was sent before. In both of them the number of an advertisement must be greater than the last one
// accepted from its sender.
const (
	// ReplayTime also demands that it was sent within TimeWindow of now, so that a node which has just started refuses
	// what was recorded before. Clocks must agree.
	ReplayTime AntiReplay = iota
	// ReplayMonotonic does not look at the clock: it may be wrong, and it may be stepped.
	ReplayMonotonic
)

// String returns the configuration word.
func (a AntiReplay) String() string {
	switch a {
	case ReplayTime:
		return "time"
	case ReplayMonotonic:
		return "monotonic"
	}
	return fmt.Sprintf("anti_replay %d", uint8(a))
}

// HMACMode says how strict a router is. A trailer that is there is always verified.
type HMACMode uint8

// Modes, from the strictest on.
const (
	HMACEnforce     HMACMode = iota // signs, and refuses what is not signed
	HMACPermissive                  // signs, and accepts what is not signed
	HMACReceiveOnly                 // does not sign, and accepts what is not signed
)

// String returns the configuration word.
func (m HMACMode) String() string {
	switch m {
	case HMACEnforce:
		return "enforce"
	case HMACPermissive:
		return "permissive"
	case HMACReceiveOnly:
		return "receive-only"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// Bounds of HMAC.TimeWindow.
const (
	MinTimeWindow = time.Second
	MaxTimeWindow = 300 * time.Second
)

// DefaultTimeWindow is that of a router which sends every interval: three of them, and at least five seconds.
func DefaultTimeWindow(interval time.Duration) time.Duration {
	return min(max(3*interval, 5*time.Second), MaxTimeWindow)
}

// validate reports the first parameter that is out of range; nil is no authentication, which is fine.
func (h *HMAC) validate() error {
	switch {
	case h == nil:
		return nil
	case len(h.Keys) == 0:
		return errors.New("auth_hmac without a key")
	case h.AntiReplay > ReplayMonotonic:
		return fmt.Errorf("anti_replay %d (want 0 or 1)", uint8(h.AntiReplay))
	case h.Mode > HMACReceiveOnly:
		return fmt.Errorf("auth_hmac mode %d (want 0 to 2)", uint8(h.Mode))
	case h.TimeWindow < MinTimeWindow || h.TimeWindow > MaxTimeWindow:
		return fmt.Errorf("time_window %v (want %v to %v)", h.TimeWindow, MinTimeWindow, MaxTimeWindow)
	}
	var seen [256]bool
	for i := range h.Keys {
		k := &h.Keys[i]
		switch n := len(k.Secret); {
		case k.ID == 0:
			return errors.New("auth_hmac key 0 (want 1 to 255)")
		case seen[k.ID]:
			return fmt.Errorf("auth_hmac key %d is there twice", k.ID)
		case n < MinSecret || n > MaxSecret:
			return fmt.Errorf("auth_hmac key %d of %d octets (want %d to %d)", k.ID, n, MinSecret, MaxSecret)
		}
		seen[k.ID] = true
	}
	if !seen[h.ActiveKey] {
		return fmt.Errorf("auth_hmac has no key %d, which is to be the active one", h.ActiveKey)
	}
	return nil
}
