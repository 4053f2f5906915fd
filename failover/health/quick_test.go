package health

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowded returns a port where nobody else is let in for the moment, and a function that lets the next one in, and answers it.
func crowded(t *testing.T) (netip.AddrPort, func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.Listen(fd, 0) // there is room for one
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*unix.SockaddrInet4).Port))
	first, err := net.Dial("tcp4", a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return a, func() {
		in, _, err := unix.Accept(fd)
		if err == nil {
			t.Cleanup(func() { _ = unix.Close(in) })
			_, err = unix.Write(in, []byte("HTTP/1.1 204 No Content\r\n\r\n"))
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// A target that takes its time over the connection is waited for: the request goes out when it is there, and the way to it counts.
func TestQuickWaitsForConnection(t *testing.T) {
	for _, name := range []string{"tcp", "http"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, letIn := crowded(t)
			var q quick = &quickKnock{to: a}
			if name == "http" {
				c := tcp("")
				c.Probe.Target = "http://" + a.String() + "/"
				w, err := newWeb(&c.Probe, way{})
				if err != nil {
					t.Fatal(err)
				}
				q = &quickWeb{web: w}
			}
			set, err := openPollset()
			if err != nil {
				t.Fatal(err)
			}
			defer set.close()
			begun := time.Now()
			step := q.start()
			if !step.waits || !step.write {
				t.Fatalf("%+v", step)
			}
			if err := set.add(step.fd, step.write, sign{7, 9}); err != nil {
				t.Fatal(err)
			}
			set.ready(func(sign, time.Time) { t.Error("ready before anybody was let in") })
			letIn() // the one before
			accepted := false
			for step.waits && time.Since(begun) < patience { // for the kernel to try again
				set.arm(begun.Add(patience))
				set.wait(func(s sign, seen time.Time) {
					if s != (sign{7, 9}) {
						t.Errorf("%+v is ready", s)
					}
					step = q.ready(seen)
				})
				if w, ok := q.(*quickWeb); ok && w.sent == len(w.web.text) && !accepted {
					accepted = true
					letIn()
				}
			}
			// The kernel tries again after a second.
			if o := step.outcome; !o.ok || o.rtt < second/2 || o.rtt > time.Since(begun) {
				t.Errorf("%+v after %v", o, time.Since(begun))
			}
		})
	}
}

// Who waits is told in time, by a socket, by the time and by an interruption.
func TestPollset(t *testing.T) {
	set, err := openPollset()
	if err != nil {
		t.Fatal(err)
	}
	defer set.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	if err := set.add(pair[0], false, sign{1, -2}); err != nil {
		t.Fatal(err)
	}
	var got []sign
	note := func(s sign, _ time.Time) { got = append(got, s) }

	begun := time.Now()
	set.arm(begun.Add(20 * time.Millisecond))
	set.wait(note)
	if took := time.Since(begun); len(got) != 0 || took < 20*time.Millisecond {
		t.Errorf("the time came after %v, with %v", took, got)
	}
	set.arm(begun.Add(time.Hour))
	set.interrupt()
	set.wait(note)
	set.arm(begun.Add(time.Hour))
	time.AfterFunc(10*time.Millisecond, set.interrupt)
	set.wait(note)
	if len(got) != 0 {
		t.Errorf("interrupted with %v", got)
	}
	for range 2 { // each time that something comes, although nobody reads
		set.arm(begun.Add(time.Hour))
		if _, err := unix.Write(pair[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
		set.wait(note)
		set.ready(note) // nothing else has come
	}
	if len(got) != 2 || got[0] != (sign{1, -2}) || got[1] != got[0] {
		t.Errorf("%v", got)
	}
	// What another process has still open, too, goes on being spoken of, by a sign that means nothing any more.
	copied, err := unix.Dup(pair[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	_ = unix.Close(pair[0])
	_ = unix.Close(pair[1])
	s := newSweep()
	s.posts[1] = &post{s: s, h: &healthCheck{quick: instant(nil)}, is: waiting, run: 3}
	n := 0
	set.ready(func(g sign, seen time.Time) {
		n++
		s.ready(g, seen) // would panic if it meant that run
	})
	if n != 1 {
		t.Errorf("the kernel has spoken of it %d times", n)
	}
}
