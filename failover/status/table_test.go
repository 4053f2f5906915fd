package status

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"failoverd/bgp"
	"failoverd/failover"
)

var update = flag.Bool("update", false, "write the golden files of this package")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it:\n%s", file, diff)
	}
}

// hung is a speaker that does not answer, with a route in its table.
func hung() *failover.Snapshot {
	s := sample()
	s.Routers[0].Routes[0].Sessions, s.Routers[0].Routes[0].SessionsUnknown = 0, true
	s.Speakers[0].Neighbors[0].State = bgp.Unknown
	s.Routers, s.Links = s.Routers[:1], nil
	return s
}

func TestTableGolden(t *testing.T) {
	many := sample()
	for i := range 12 {
		many.Routers[0].Addresses = append(many.Routers[0].Addresses, failover.AddressStatus{
			Address: netip.MustParsePrefix(fmt.Sprintf("198.51.100.%d/32", 20+i)), Interface: "lo", Wanted: true,
		})
	}
	many.Routers = many.Routers[:1]
	mute := sample()
	mute.Routers[0].Routes[0].Sessions = 0
	mute.Routers, mute.Links = mute.Routers[:1], nil
	long := quiet()
	long.LongLeases = []failover.LongLeaseStatus{{Why: (&failover.LongLease{Interface: "eth0", Addresses: 1000, Lease: 64 * time.Second, Usual: 3 * time.Second, Share: 0.42}).String()}}
	for _, c := range []struct {
		name string
		s    *failover.Snapshot
		o    TableOptions
	}{
		{"long-leases-100", long, TableOptions{Width: 100}},
		{"well-120", sample(), TableOptions{Width: 120}},
		{"well-80", sample(), TableOptions{Width: 80}},
		{"well-40", sample(), TableOptions{Width: 40}},
		{"well-unlimited", sample(), TableOptions{}},
		{"well-120-color", sample(), TableOptions{Width: 120, Color: true}},
		{"trouble-120", trouble(), TableOptions{Width: 120}},
		{"trouble-60", trouble(), TableOptions{Width: 60}},
		{"trouble-120-color", trouble(), TableOptions{Width: 120, Color: true}},
		{"many-problems-100", many, TableOptions{Width: 100}},
		{"nobody-hears-100", mute, TableOptions{Width: 100}},
		{"hung-100", hung(), TableOptions{Width: 100}},
		{"tracking-140", tracking(), TableOptions{Width: 140}},
		{"tracking-80", tracking(), TableOptions{Width: 80}},
		{"tracking-50", tracking(), TableOptions{Width: 50}},
		{"tracking-140-color", tracking(), TableOptions{Width: 140, Color: true}},
		{"alone-100", alone(), TableOptions{Width: 100}},
		{"quiet-100", quiet(), TableOptions{Width: 100}},
		{"empty", &failover.Snapshot{}, TableOptions{Width: 80}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Table(&b, c.s, c.o); err != nil {
				t.Fatal(err)
			}
			golden(t, c.name, b.String())
			if c.o.Color {
				return
			}
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); c.o.Width > 0 && n > c.o.Width {
					t.Errorf("%d columns: %q", n, line)
				}
			}
		})
	}
}

// TestMain has times printed alike everywhere. It is done before any test, because servers of one may still be ending in the next.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

func TestDetailGolden(t *testing.T) {
	for _, c := range []struct {
		name   string
		s      *failover.Snapshot
		router int
	}{
		{"detail-master", sample(), 0},
		{"detail-hung", hung(), 0},
		{"detail-backup", sample(), 1},
		{"detail-alone", alone(), 1},
		{"detail-trouble-0", trouble(), 0},
		{"detail-trouble-1", trouble(), 1},
		{"detail-tracking-fault", tracking(), 0},
		{"detail-tracking-lower", tracking(), 2},
		{"detail-tracking-device", tracking(), 3},
		{"detail-tracking-init", tracking(), 4},
		{"detail-tracking-owner", tracking(), 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Detail(&b, c.s, &c.s.Routers[c.router], TableOptions{Width: 80}); err != nil {
				t.Fatal(err)
			}
			golden(t, c.name, b.String())
		})
	}
}

type brokenWriter struct{ left int }

var errBroken = errors.New("broken pipe")

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errBroken
	}
	return len(b), nil
}

func TestTableReportsWriteError(t *testing.T) {
	for left := range 5 {
		if err := Table(&brokenWriter{left}, sample(), TableOptions{}); !errors.Is(err, errBroken) {
			t.Errorf("after %d lines: %v", left, err)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                     "0.0s",
		0:                                "0.0s",
		1290 * time.Millisecond:          "1.2s",
		9999 * time.Millisecond:          "9.9s",
		10 * time.Second:                 "10s",
		59999 * time.Millisecond:         "59s",
		time.Minute:                      "1m00s",
		time.Hour - time.Nanosecond:      "59m59s",
		time.Hour:                        "1h00m",
		24*time.Hour - time.Nanosecond:   "23h59m",
		49*time.Hour + 30*time.Minute:    "2d01h",
		10000*time.Hour + 30*time.Minute: "416d16h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[31mred", "\xff\xfe", "\uFFFD", "tab\there", "\u202Eevil", "漢字 ok"} {
		f.Add(s, 12)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		got := clean(s)
		if !utf8.ValidString(got) {
			t.Errorf("clean(%q) = %q is not UTF-8", s, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) && r != utf8.RuneError {
				t.Errorf("clean(%q) = %q holds %U", s, got, r)
			}
		}
		if strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(strings.Join(wrap(got, n), " ")), "") {
			t.Errorf("wrap(%q, %d) lost text: %q", got, n, wrap(got, n))
		}
	})
}
