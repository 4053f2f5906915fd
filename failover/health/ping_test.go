package health

import (
	"bytes"
	"slices"
	"testing"
)

// reply returns the answer to a request as a raw socket of IPv4 has it, with or without a header of 20 octets.
func reply(e *echo, header bool) []byte {
	b, err := e.marshal()
	if err != nil {
		panic(err)
	}
	b[0] = 0
	if e.six {
		b[0] = 129
	}
	if header {
		b = append(append([]byte{0x45}, make([]byte, 19)...), b...)
	}
	return b
}

// Whatever a socket hears that is not the reply is not taken for it.
func TestEchoAnswer(t *testing.T) {
	four := echo{id: 7, seq: 9, token: [tokenSize]byte{1, 2, 3}}
	six, humble := four, four
	six.six, humble.anyID = true, true
	other, older, strange := four, four, four
	other.id, older.seq, strange.token = 8, 8, [tokenSize]byte{1, 2, 4}
	own, _ := four.marshal()
	for _, tt := range []struct {
		name string
		e    echo
		b    []byte
		want bool
	}{
		{"the reply", four, reply(&four, true), true},
		{"over IPv6", six, reply(&six, false), true},
		{"without a raw socket", humble, reply(&humble, false), true},
		{"without a raw socket the kernel chooses the number", humble, reply(&other, false), true},
		{"a reply to somebody else", four, reply(&other, true), false},
		{"a reply to an older request", four, reply(&older, true), false},
		{"a reply with other octets", four, reply(&strange, true), false},
		{"the request itself", four, slices.Concat(reply(&four, true)[:20], own), false},
		{"a header only", four, reply(&four, true)[:20], false},
		{"cut short", four, reply(&four, true)[:43], false},
		{"nothing", four, nil, false},
	} {
		if got := tt.e.answeredBy(tt.b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzEchoAnswer(f *testing.F) {
	e := echo{id: 7, seq: 9, token: [tokenSize]byte{1, 2, 3}}
	f.Add(reply(&e, true))
	f.Add(reply(&e, true)[:30])
	f.Add([]byte{0x4f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e.answeredBy(b) && (!bytes.Contains(b, e.token[:]) || len(b) < 20+8+tokenSize) {
			t.Errorf("%x is taken for the reply", b)
		}
		six, humble := e, e
		six.six, humble.anyID = true, true
		six.answeredBy(b)
		humble.answeredBy(b)
	})
}
