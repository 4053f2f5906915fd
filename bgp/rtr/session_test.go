package rtr

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
)

func TestFirstTransferKeepsOnlyWhatCoversOurPrefixes(t *testing.T) {
	c := newCache(t)
	c.asked("v1 Reset Query")
	c.transfer(5, []bgp.VRP{foreign, roa6, inside, roa4}, nil)
	c.has(roa4, roa6)
	if st := c.s.Status(); st.State != "up" || st.Records != 4 || st.Kept != 2 || st.Serial != 5 || st.Session != 77 || !st.Expires.Equal(start.Add(600*time.Second)) {
		t.Errorf("status %+v", st)
	}
}

func TestNothingCountsBeforeEndOfData(t *testing.T) {
	c := newCache(t)
	c.say(c.response(), prefixPDU(roa4, true))
	if _, _, ok := c.s.Data(); ok {
		t.Error("half a transfer counts")
	}
	c.say(c.end(1))
	c.has(roa4)
	c.pass(60 * time.Second)
	c.asked("v1 Reset Query", "v1 Serial Query 77/1")
	c.say(c.response(), prefixPDU(roa4, false))
	c.has(roa4) // still
	c.say(c.end(2))
	c.has()
}

func TestChangesByNotifyAndByRefresh(t *testing.T) {
	c := newCache(t)
	c.transfer(1, []bgp.VRP{roa4}, nil)
	c.s.Send()
	c.now = c.now.Add(5 * time.Second)
	c.say(PDU{Type: SerialNotify, Session: 77, Serial: 1})
	c.asked() // nothing new
	c.say(PDU{Type: SerialNotify, Session: 77, Serial: 2})
	c.asked("v1 Serial Query 77/1")
	c.say(c.response())
	if st := c.s.Status(); st.State != "up" {
		t.Errorf("state %s while the changes come", st.State)
	}
	c.say(prefixPDU(other4, true), prefixPDU(roa4, false), c.end(2))
	c.has(other4)
	c.pass(59 * time.Second)
	c.asked()
	c.pass(time.Second)
	c.asked("v1 Serial Query 77/2")
	c.transfer(2, nil, nil)
	c.has(other4)
}

func TestNotifyStormAsksOnceASecond(t *testing.T) {
	c := newCache(t)
	c.transfer(1, []bgp.VRP{roa4}, nil)
	c.s.Send()
	queries := 0
	for i := range 1000 { // over ten seconds
		c.now = c.now.Add(10 * time.Millisecond)
		c.say(PDU{Type: SerialNotify, Session: 77, Serial: uint32(100 + i)})
		if d := c.s.Deadline(); !d.After(c.now) {
			c.s.Expire(c.now)
		}
		if len(c.s.Send()) > 0 {
			queries++
			c.transfer(uint32(2+i), nil, nil)
			c.s.Send()
		}
	}
	if queries < 5 || queries > 11 {
		t.Errorf("%d queries in ten seconds", queries)
	}
}

func TestCacheResetAsksForEverything(t *testing.T) {
	c := newCache(t)
	c.transfer(1, []bgp.VRP{roa4}, nil)
	c.reconnect(io.EOF)
	c.asked("v1 Serial Query 77/1")
	c.say(PDU{Type: CacheReset})
	c.asked("v1 Reset Query")
	c.has(roa4) // the old data counts until the new is complete
	c.session = 78
	c.transfer(9, []bgp.VRP{other4}, nil)
	c.has(other4)
}

func TestDataOutlivesTheConnectionUntilItExpires(t *testing.T) {
	c := newCache(t)
	c.transfer(1, []bgp.VRP{roa4}, nil)
	c.s.Disconnected(io.EOF)
	c.pass(599 * time.Second)
	c.has(roa4)
	if st := c.s.Status(); st.State != "down" || st.Error != "EOF" || !st.HasData {
		t.Errorf("status %+v", st)
	}
	if want := start.Add(600 * time.Second); !c.s.Deadline().Equal(want) {
		t.Errorf("deadline %v, want %v", c.s.Deadline(), want)
	}
	c.pass(time.Second)
	if _, _, ok := c.s.Data(); ok {
		t.Error("data counts after it has expired")
	}
	c.s.Connected(c.now)
	c.asked("v1 Reset Query")
}

func TestVersionZero(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply func(c *cache)
	}{
		{"the cache reports an unsupported version", func(c *cache) {
			c.say(PDU{Type: ErrorReport, Code: UnsupportedVersion})
			if !errors.Is(c.s.Failed(), errVersion) {
				t.Fatalf("failed: %v", c.s.Failed())
			}
			c.s.Disconnected(nil)
			if c.s.Delay() != 0 {
				t.Errorf("delay %v", c.s.Delay())
			}
			c.s.Connected(c.now)
			c.asked("v0 Reset Query")
		}},
		{"the cache hangs up", func(c *cache) {
			c.reconnect(io.EOF)
			c.asked("v0 Reset Query")
		}},
		{"the cache answers in version 0", func(*cache) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCache(t)
			k.asked("v1 Reset Query")
			k.version = 0
			c.reply(k)
			k.transfer(3, []bgp.VRP{roa4}, nil)
			k.has(roa4)
			if st := k.s.Status(); st.Version != 0 || !st.Expires.Equal(start.Add(defaultExpire)) {
				t.Errorf("status %+v", st)
			}
			k.pass(defaultRefresh)
			k.asked("v0 Serial Query 77/3")
		})
	}
}

func TestACacheThatHangsUpIsTriedInBothVersions(t *testing.T) {
	c := newCache(t)
	for _, want := range []string{"v1 Reset Query", "v0 Reset Query", "v1 Reset Query", "v0 Reset Query"} {
		c.asked(want)
		c.reconnect(io.EOF)
	}
}

func TestACacheThatHangsUpOnASerialQueryIsAskedForEverything(t *testing.T) {
	c := newCache(t)
	c.transfer(1, []bgp.VRP{roa4}, nil)
	for _, want := range []string{"v1 Serial Query 77/1", "v1 Reset Query", "v0 Reset Query"} {
		c.s.Send()
		c.reconnect(io.EOF)
		c.asked(want)
		c.has(roa4)
	}
}

func TestNotifyBeforeTheFirstAnswerIsIgnored(t *testing.T) {
	c := newCache(t)
	c.s.Send()
	c.version = 0
	c.say(PDU{Type: SerialNotify, Session: 1, Serial: 1})
	c.asked()
	c.version = 1
	c.transfer(1, []bgp.VRP{roa4}, nil)
	c.has(roa4)
	if got := c.s.Status().Version; got != 1 {
		t.Errorf("version %d", got)
	}
}

func TestNoDataAvailableIsAskedAgain(t *testing.T) {
	c := newCache(t)
	c.s.Send()
	c.say(PDU{Type: ErrorReport, Code: NoDataAvailable, Text: []byte("still \x1b[31mloading")})
	if st := c.s.Status(); c.s.Failed() != nil || st.State != "syncing" || !strings.Contains(st.Error, `\x1b`) {
		t.Fatalf("failed %v, status %+v", c.s.Failed(), st)
	}
	c.pass(noDataRetry)
	c.asked("v1 Reset Query")
	c.transfer(1, []bgp.VRP{roa4}, nil)
	c.has(roa4)
	if st := c.s.Status(); st.Error != "" {
		t.Errorf("error %q", st.Error)
	}
}

// TestViolations: what a cache must not do ends the connection, is reported to it, and takes no data away.
func TestViolations(t *testing.T) {
	for _, v := range []struct {
		name string
		pdus []PDU
		code Code
	}{
		{"a prefix outside a transfer", []PDU{prefixPDU(roa4, true)}, CorruptData},
		{"an End of Data without a beginning", []PDU{{Type: EndOfData, Session: 77}}, CorruptData},
		{"another session than the one asked for", []PDU{{Type: CacheResponse, Session: 5}}, CorruptData},
		{"an End of Data of another session", []PDU{{Type: CacheResponse, Session: 77}, {Type: EndOfData, Session: 5}}, CorruptData},
		{"a record twice", []PDU{{Type: CacheResponse, Session: 77}, prefixPDU(roa4, true)}, DuplicateRecord},
		{"a withdrawal of what was not there", []PDU{{Type: CacheResponse, Session: 77}, prefixPDU(other4, false)}, UnknownWithdrawal},
		{"two beginnings", []PDU{{Type: CacheResponse, Session: 77}, {Type: CacheResponse, Session: 77}}, CorruptData},
		{"a query", []PDU{{Type: ResetQuery}}, InvalidRequest},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := newCache(t)
			c.transfer(1, []bgp.VRP{roa4}, nil)
			c.pass(60 * time.Second)
			c.s.Send()
			c.say(v.pdus...)
			var wrong *ProtocolError
			if !errors.As(c.s.Failed(), &wrong) || wrong.Code != v.code {
				t.Fatalf("failed: %v, want %v", c.s.Failed(), v.code)
			}
			c.asked("v1 Error Report " + v.code.String())
			c.has(roa4)
			c.say(prefixPDU(other4, true)) // falls on deaf ears
			c.s.Disconnected(nil)
			if d := c.s.Delay(); d != time.Second {
				t.Errorf("delay %v", d)
			}
		})
	}
}

func TestAnErrorReportIsNotAnsweredWithOne(t *testing.T) {
	c := newCache(t)
	c.s.Send()
	c.s.Receive(c.now, octets("01 0a 0000 00000010 ffffffff 00000000"))
	if c.s.Failed() == nil {
		t.Fatal("a broken Error Report is accepted")
	}
	c.asked()
}

func TestSilence(t *testing.T) {
	c := newCache(t)
	c.pass(responseWithin)
	if c.s.Failed() == nil {
		t.Error("a cache that never answers is waited for")
	}
	c = newCache(t)
	c.say(c.response())
	for range 10 {
		c.pass(loadWithin / 10)
		c.say(prefixPDU(foreign, true))
	}
	if c.s.Failed() == nil {
		t.Error("a transfer that never ends is waited for")
	}
}

func TestBackoff(t *testing.T) {
	s := New(own)
	var got []time.Duration
	for range 7 {
		s.Disconnected(errors.New("connection refused"))
		got = append(got, s.Delay()/time.Second)
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 30, 30}; !slices.Equal(got, want) {
		t.Errorf("delays %v, want %v", got, want)
	}
	for range 100 {
		s.Disconnected(io.EOF)
	}
	if s.Delay() != maxBackoff || !s.Tried() {
		t.Errorf("delay %v, tried %v", s.Delay(), s.Tried())
	}
}

func TestRetarget(t *testing.T) {
	c := newCache(t)
	c.transfer(1, []bgp.VRP{roa4, foreign}, nil)
	c.s.Retarget(slices.Clone(own))
	if c.s.Failed() != nil {
		t.Fatal("the same prefixes end the connection")
	}
	next := append(slices.Clone(own), foreign.Prefix)
	c.s.Retarget(next)
	c.has(roa4)
	c.s.Disconnected(nil)
	c.s.Send()
	if c.s.Delay() != 0 {
		t.Errorf("delay %v", c.s.Delay())
	}
	c.s.Connected(c.now)
	c.asked("v1 Reset Query")
	c.transfer(1, []bgp.VRP{roa4, foreign}, nil)
	got, scope, _ := c.s.Data()
	if !slices.Equal(got, []bgp.VRP{roa4, foreign}) || len(scope) != 3 {
		t.Errorf("data %v about %v", got, scope)
	}
}

// TestTooMuchAboutUs: a cache that invents endless records about our prefixes is not believed.
func TestTooMuchAboutUs(t *testing.T) {
	c := newCache(t)
	c.say(c.response())
	for as := uint32(1); c.s.Failed() == nil; as++ {
		if as > 2*maxKept {
			t.Fatal("everything is kept")
		}
		c.say(prefixPDU(record("198.51.100.0/24", 24, as), true))
	}
	if _, _, ok := c.s.Data(); ok {
		t.Error("it counts")
	}
}

// FuzzSession: whatever arrives, in whatever pieces and at whatever time, memory stays bounded and nothing panics.
func FuzzSession(f *testing.F) {
	c := &cache{version: 1, session: 77}
	var good []byte
	for _, p := range []PDU{c.response(), prefixPDU(roa4, true), prefixPDU(foreign, true), prefixPDU(roa6, true), c.end(1), {Type: SerialNotify, Session: 77, Serial: 2}} {
		p.Version = 1
		good = p.Append(good)
	}
	f.Add(good, uint8(7), uint16(1))
	f.Add(append(slices.Clone(good), good...), uint8(255), uint16(700))
	for _, p := range pdus {
		f.Add(octets(p.wire), uint8(3), uint16(60))
	}
	f.Fuzz(func(t *testing.T, b []byte, piece uint8, step uint16) {
		s := New(own)
		now := start
		s.Connected(now)
		for len(b) > 0 {
			n := min(int(piece)+1, len(b))
			s.Receive(now, b[:n])
			b = b[n:]
			now = now.Add(time.Duration(step) * time.Second)
			if d := s.Deadline(); !d.IsZero() && !d.After(now) {
				s.Expire(now)
			}
			for out := s.Send(); len(out) > 0; {
				_, n, err := Parse(out)
				if err != nil || n == 0 {
					t.Fatalf("sends %x: %v", out, err)
				}
				out = out[n:]
			}
			if len(s.rest) > maxPDU+256 {
				t.Fatalf("%d octets wait", len(s.rest))
			}
			if vrps, scope, ok := s.Data(); ok {
				for _, v := range vrps {
					if !slices.ContainsFunc(scope, v.Covers) {
						t.Fatalf("keeps %v", v)
					}
				}
			}
			if s.Failed() != nil {
				s.Disconnected(nil)
				if s.Delay() > maxBackoff || s.Delay() < 0 {
					t.Fatalf("delay %v", s.Delay())
				}
				s.Connected(now)
			}
		}
		_ = s.Status()
	})
}
