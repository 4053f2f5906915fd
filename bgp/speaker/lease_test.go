package speaker

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

// What counts is when the agent was alive, not when its word arrives, and the last word alone.
func TestLeaseReadsMoments(t *testing.T) {
	now := boottime()
	var in bytes.Buffer
	for _, age := range []time.Duration{3 * time.Second, 2 * time.Second, time.Second} {
		in.Write(stamp(now - age))
	}
	for name, r := range map[string]io.Reader{
		"at once":         bytes.NewReader(in.Bytes()),
		"octet by octet":  iotest.OneByteReader(bytes.NewReader(in.Bytes())),
		"in odd pieces":   iotest.HalfReader(bytes.NewReader(in.Bytes())),
		"data with error": iotest.DataErrReader(bytes.NewReader(in.Bytes())),
	} {
		l := newLease(1500 * time.Millisecond)
		if err := l.read(r); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		if got := time.Duration(l.alive.Load()); got != now-time.Second {
			t.Errorf("%s: alive at %v, want %v", name, got, now-time.Second)
		}
	}
}

func TestLeaseLapses(t *testing.T) {
	for _, row := range []struct {
		name        string
		length, age time.Duration
		want        bool
	}{
		{"young", time.Minute, 0, false},
		{"within", time.Minute, 50 * time.Second, false},
		{"over", time.Minute, 61 * time.Second, true},
		{"never touched", time.Minute, boottime(), true},
		{"no lease", 0, boottime(), false},
	} {
		l := newLease(row.length)
		l.alive.Store(int64(boottime() - row.age))
		if got := l.lapsed(); got != row.want {
			t.Errorf("%s: lapsed %v", row.name, got)
		}
		refused := l.permit("/apipb.GobgpApi/AddPath") != nil
		if refused != row.want {
			t.Errorf("%s: announcements refused %v", row.name, refused)
		}
		if l.permit("/apipb.GobgpApi/DeletePath") != nil {
			t.Errorf("%s: withdrawals refused", row.name)
		}
		if stream := l.permit("/apipb.GobgpApi/AddPathStream") != nil; stream != row.want {
			t.Errorf("%s: streams refused %v", row.name, stream)
		}
	}
}

// A torn record at the end of the pipe renews nothing.
func TestLeaseIgnoresTornRecord(t *testing.T) {
	l := newLease(time.Minute)
	before := l.alive.Load()
	if err := l.read(bytes.NewReader(stamp(boottime() + time.Hour)[:7])); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if l.alive.Load() != before {
		t.Error("seven octets are a record")
	}
}

func BenchmarkTouch(b *testing.B) {
	s, err := New(Config{Speaker: speakerOf(), Command: []string{"x"}, RunDir: "/tmp", Lease: 3 * time.Second, Log: discard()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Touch()
	}
}
