package supervisor

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func someWill(build string) *Will {
	return &Will{
		Build: build, Boot: "b", Config: "c", Resume: true, Interval: time.Second, Heirs: []Heir{{Key: "eth0/4/51", Priority: 100, Last: "track_check web: refused"}},
		Adverts: []Advert{{
			Interface: "eth0", Index: 2, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("224.0.0.18"), TTL: 255,
			Payload: []byte{0x31, 51, 0, 1},
		}},
	}
}

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := NewStore()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.file.Close() })
	return s
}

// another opens the same memory again, as the next agent does.
func another(t *testing.T, s *Store) *Store {
	t.Helper()
	fd, err := unix.Dup(int(s.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	o, err := openStore(os.NewFile(uintptr(fd), "again"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.file.Close() })
	return o
}

// The newest will that is whole counts, whoever reads it, and a life that goes on writes after those before it.
func TestStore(t *testing.T) {
	s := newStore(t)
	if w, _, err := s.Will(); w != nil || !errors.Is(err, ErrNoWill) {
		t.Fatalf("empty: %v, %v", w, err)
	}
	put := func(s *Store, build string) {
		t.Helper()
		if err := s.Put(someWill(build)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, build string) {
		t.Helper()
		w, _, err := another(t, s).Will()
		if err != nil || w.Build != build || len(w.Adverts) != 1 || w.Adverts[0].Src != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%s: %+v, %v; want %s", what, w, err, build)
		}
	}
	put(s, "1")
	want("first", "1")
	put(s, "2")
	want("second", "2")
	next := another(t, s)
	put(next, "3")
	want("another life", "3")

	// It dies while it writes the fourth: the third stays.
	at := slotAt((next.seq + 1) % 2)
	if _, err := s.file.WriteAt([]byte("half of a will"), at+int64(slotHeader)+3); err != nil {
		t.Fatal(err)
	}
	want("a torn one", "3")
	put(next, "4")
	want("after a torn one", "4")

	s.Alive(12345)
	if got := another(t, s).LastAlive(); got != 12345 {
		t.Errorf("last alive at %v", got)
	}
}

// Wills that are not whole, not of this version, or that say nonsense are refused.
func TestStoreRefuses(t *testing.T) {
	garbled := func(change func(b []byte) []byte) func(*Store) {
		return func(s *Store) {
			b := change(encodeSlot(1, someWill("x").encode()))
			_, _ = s.file.WriteAt(b, slotAt(1))
		}
	}
	for name, c := range map[string]struct {
		do   func(*Store)
		want string
	}{
		"checksum": {garbled(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), "wrong checksum"},
		"sequence": {garbled(func(b []byte) []byte { b[len(slotMagic)] ^= 1; return b }), "wrong checksum"},
		"version":  {garbled(func(b []byte) []byte { b[0]++; return b }), "another version"},
		"length":   {garbled(func(b []byte) []byte { b[len(slotMagic)+8] = 255; return b }), "at most"},
		"no JSON":  {garbled(func([]byte) []byte { return encodeSlot(1, []byte("{")) }), "last will: "},
		"no source": {garbled(func([]byte) []byte {
			w := someWill("x")
			w.Adverts[0].Src = netip.Addr{}
			return encodeSlot(1, w.encode())
		}), "advertisement from"},
		"two families": {garbled(func([]byte) []byte {
			w := someWill("x")
			w.Adverts[0].Dst = netip.MustParseAddr("ff02::12")
			return encodeSlot(1, w.encode())
		}), "advertisement from"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c.do(s)
			if w, _, err := s.Will(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v; want %q", w, err, c.want)
			}
		})
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := openStore(f); s != nil || err == nil {
		t.Error("an ordinary file is taken for the memory")
	}
}

func FuzzSlot(f *testing.F) {
	f.Add(encodeSlot(1, someWill("x").encode()))
	f.Add(encodeSlot(1<<63, nil))
	f.Add([]byte(slotMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, will, err := decodeSlot(b)
		if err != nil {
			return
		}
		if again := encodeSlot(seq, will); !bytes.Equal(again, b) {
			t.Errorf("%x is written again as %x", b, again)
		}
		if w, err := decodeWill(will); err == nil {
			if _, err := decodeWill(w.encode()); err != nil {
				t.Errorf("%s is refused when it is written again: %v", will, err)
			}
		}
	})
}

func TestJudge(t *testing.T) {
	const now = 100 * time.Second
	w := func(change func(*Will)) *Will {
		w := someWill("x")
		change(w)
		return w
	}
	for _, c := range []struct {
		name   string
		will   *Will
		silent time.Duration
		deaths int
		want   Succession
		why    string
	}{
		{"no will", nil, 0, 1, Fresh, ""},
		{"no role", w(func(w *Will) { w.Heirs = nil }), 0, 1, Fresh, ""},
		{"just died", someWill("x"), time.Millisecond, 1, Resume, ""},
		{"on_crash resign", w(func(w *Will) { w.Resume = false }), 0, 1, Resign, "its configuration says so"},
		{"the second time", someWill("x"), 0, 2, Resign, "it has died before within 1m0s"},
		{"one interval late", someWill("x"), 1999 * time.Millisecond, 1, Resume, ""},
		{"frozen before", someWill("x"), 2 * time.Second, 1, Resign, "it had been silent for 2s"},
	} {
		if got, why := judge(c.will, now-c.silent, now, c.deaths); got != c.want || why != c.why {
			t.Errorf("%s: %v %q, want %v %q", c.name, got, why, c.want, c.why)
		}
	}
}

// An advertisement for an interface that is gone, or is another one, does not leave, and the others do.
func TestExecuteRefuses(t *testing.T) {
	w := someWill("x")
	w.Adverts[0].Interface = "no-such-if"
	w.Adverts = append(w.Adverts, w.Adverts[0])
	w.Adverts[1].Interface, w.Adverts[1].Index = "lo", 4711
	sent, err := w.execute(nil)
	if sent != 0 || err == nil || !strings.Contains(err.Error(), "no-such-if") || !strings.Contains(err.Error(), "interface lo is another one now") {
		t.Errorf("%d sent, %v", sent, err)
	}
}

// Only another network namespace than the own one is entered for a will: that takes a capability which an agent without
// net_namespace does not need.
func TestNamespace(t *testing.T) {
	s := new(supervisor)
	for path, kept := range map[string]bool{"/proc/self/ns/net": false, "/proc/self/ns/mnt": true} {
		f, err := os.Open(path)
		if err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		if s.useNamespace(f); (s.namespace != nil) != kept {
			t.Errorf("%s: kept %t, want %t", path, s.namespace != nil, kept)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	s, err := NewStore()
	if err != nil {
		b.Fatal(err)
	}
	w := someWill("x")
	for range 999 {
		w.Heirs, w.Adverts = append(w.Heirs, w.Heirs[0]), append(w.Adverts, w.Adverts[0])
	}
	b.Run("1000 roles", func(b *testing.B) {
		for b.Loop() {
			if err := s.Put(w); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("alive", func(b *testing.B) {
		for b.Loop() {
			s.Alive(1)
		}
	})
}
