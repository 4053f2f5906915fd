package link

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

func TestIDString(t *testing.T) {
	for want, id := range map[string]ID{
		"eth0/IPv4": {"eth0", wire.IPv4},
		"eth0/IPv6": {"eth0", wire.IPv6},
		"*/IPv4":    {"", wire.IPv4},
	} {
		if got := id.String(); got != want {
			t.Errorf("%#v: %q, want %q", id, got, want)
		}
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	lab := newLab(t)
	lab.a.ip(t, "link add fo-small type veth peer name fo-peer")
	lab.a.ip(t, "link set fo-small mtu 1200 up") // less than IPv6 can live with (RFC 8200 section 5)
	for _, tt := range []struct {
		name string
		id   ID
		want error
		text string
	}{
		{"IPv4 missing interface", ID{"fo-none", wire.IPv4}, ErrNoInterface, "open link fo-none/IPv4: no such interface: fo-none"},
		{"IPv6 missing interface", ID{"fo-none", wire.IPv6}, ErrNoInterface, "open link fo-none/IPv6: no such interface: fo-none"},
		{"impossible name", ID{"much-longer-than-fifteen", wire.IPv4}, ErrNoInterface, "not an interface name"},
		{"interface without IPv6", ID{"fo-small", wire.IPv6}, nil, "no IPv6 on this interface"},
		{"family", ID{ifA, 5}, nil, "address family 5 (want 4 or 6)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			lab.a.do(t, func() error {
				_, err = Open(tt.id, Options{})
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, tt.text)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v is not %v", err, tt.want)
			}
		})
	}
	lab.a.do(t, func() error {
		if _, err := OpenAnnouncer("fo-none"); !errors.Is(err, ErrNoInterface) {
			t.Errorf("announcer: %v, want %v", err, ErrNoInterface)
		}
		return nil
	})
}

// forgo takes capabilities from the calling thread for good. Inside namespace.do that thread is soon gone.
func forgo(capabilities ...int) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	for _, c := range capabilities {
		data[c/32].Effective &^= 1 << (c % 32)
		data[c/32].Permitted &^= 1 << (c % 32)
	}
	return unix.Capset(&hdr, &data[0])
}

var everyID = []ID{{ifA, wire.IPv4}, {ifA, wire.IPv6}, {"", wire.IPv4}, {"", wire.IPv6}}

func TestOpenWithoutPrivilege(t *testing.T) {
	newLab(t).a.do(t, func() error {
		check := func(what string, err error) {
			if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_RAW is missing") {
				t.Errorf("%s: %v, want EPERM and the name of the capability", what, err)
			}
		}
		err := forgo(unix.CAP_NET_RAW)
		for _, id := range everyID {
			_, err := Open(id, Options{})
			check(id.String(), err)
		}
		_, denied := OpenAnnouncer(ifA)
		check("announcer", denied)
		return err
	})
}

func TestNetRawIsAllThatIsNeeded(t *testing.T) {
	newLab(t).a.do(t, func() error {
		errs := []error{forgo(unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN)}
		for _, id := range everyID {
			l, err := Open(id, Options{})
			if err != nil {
				return err
			}
			errs = append(errs, l.Close())
		}
		a, err := OpenAnnouncer(ifA)
		if err != nil {
			return err
		}
		return errors.Join(append(errs, a.Announce(addrA), a.Announce(localA), a.Close())...)
	})
}

// A link outlives IPv6 being switched off and on again: only its addresses have to come back.
func TestIPv6DisabledOnTheInterface(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	lab.a.sysctl(t, "ipv6/conf/"+ifA+"/disable_ipv6", "1")
	l := listen(t, lab.a, ID{ifA, wire.IPv6})
	group := wire.IPv6.Group()
	payload := advert(t, 51, localA, group)
	if err := l.Send(payload, localA, group, 0); err == nil {
		t.Error("sent over IPv6 where it is disabled")
	}
	lab.a.sysctl(t, "ipv6/conf/"+ifA+"/disable_ipv6", "0")
	lab.a.ip(t, "addr add fe80::a/64 dev "+ifA+" nodad")
	if err := l.Send(payload, localA, group, 0); err != nil {
		t.Error(err)
	}
	wiretap.advert(macA)
	wiretap.send(localB, group, 255, advert(t, 52, localB, group))
	l.expect(52)
}

func TestCloseReleasesEverything(t *testing.T) {
	lab := newLab(t)
	cycle := func() {
		for _, id := range everyID {
			l := start(t, lab.a, id)
			if err := errors.Join(l.Close(), l.Close()); err != nil {
				t.Errorf("close: %v", err)
			}
			if err := l.end(); err != nil {
				t.Errorf("run after close: %v", err)
			}
		}
		lab.a.do(t, func() error {
			a, err := OpenAnnouncer(ifA)
			if err != nil {
				return err
			}
			return errors.Join(a.Announce(localA), a.Close())
		})
	}
	cycle()
	files, routines := openFiles(t), runtime.NumGoroutine()
	for range 20 {
		cycle()
	}
	if n := openFiles(t); n != files {
		t.Errorf("%d open files after 20 rounds, %d before", n, files)
	}
	// A thread that is on its way out counts for a moment; a leak would count twenty times.
	if n := runtime.NumGoroutine(); n > routines+4 {
		t.Errorf("%d goroutines after 20 rounds, %d before", n, routines)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func TestFailedOpenLeavesNothingBehind(t *testing.T) {
	lab := newLab(t)
	try := func() {
		lab.a.do(t, func() error {
			for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
				if _, err := Open(ID{"fo-none", f}, Options{}); err == nil {
					t.Error("opened a link on nothing")
				}
			}
			return nil
		})
	}
	try()
	before := openFiles(t)
	for range 20 {
		try()
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files, %d before", after, before)
	}
}
