package supervisor

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Will is the last will of an agent: what the supervisor does for it when it dies without a word, and what the next life
// of it takes over. Nobody but the same program reads it.
type Will struct {
	// Build, Boot and Config say whose it is: the version of the program, the boot of the kernel and the configuration.
	// A life that differs in one of them takes nothing over.
	Build, Boot, Config string
	// Resume: an agent that is back in time may go on (on_crash resume).
	Resume bool
	// Interval is the shortest advertisement interval of its routers that have a role; 0: there are none.
	Interval time.Duration
	Heirs    []Heir
	Adverts  []Advert
	// Origins is what the next life is to know in any case, whatever becomes of the roles, as two lives of the program understand
	// it; empty: nothing.
	Origins json.RawMessage `json:",omitempty"`
	// Legacy is what a program that lives hands over to another one (an upgrade), as the two understand it; empty: nothing.
	Legacy json.RawMessage `json:",omitempty"`
}

// Heir is a router that has a role: its key in text form, its priority, and why it is the last resort, if it is.
type Heir struct {
	Key      string
	Priority uint8
	Last     string `json:",omitempty"`
}

// Advert is an advertisement of priority 0, ready to be sent.
type Advert struct {
	// Interface is where it leaves, if that still has the index Index; empty: it is unicast, and the routing table says.
	Interface string
	Index     int
	Src, Dst  netip.Addr
	TTL       uint8
	// MAC is what it is sent from; zero: from that of the interface.
	MAC     [6]byte
	Payload []byte
}

func (w *Will) encode() []byte {
	b, err := json.Marshal(w)
	if err != nil {
		panic(fmt.Sprintf("encode a will: %v", err)) // no value of these types is refused
	}
	return b
}

func decodeWill(b []byte) (*Will, error) {
	w := new(Will)
	if err := json.Unmarshal(b, w); err != nil {
		return nil, fmt.Errorf("last will: %w", err)
	}
	for i := range w.Adverts {
		a := &w.Adverts[i]
		if !a.Src.IsValid() || !a.Dst.IsValid() || a.Src.Is4() != a.Dst.Is4() || len(a.Payload) == 0 {
			return nil, fmt.Errorf("last will: advertisement from %v to %v of %d octets", a.Src, a.Dst, len(a.Payload))
		}
	}
	return w, nil
}

// inTime returns until when an agent that was alive last at an instant may be back. Its neighbors then miss one
// advertisement, and they wait for three.
func (w *Will) inTime(alive time.Duration) time.Duration { return alive + 2*w.Interval }
