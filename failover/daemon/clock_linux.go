package daemon

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/vrrp"
)

// monotonic returns the current instant: CLOCK_MONOTONIC, which no clock step moves and which alarms are set in.
func monotonic() vrrp.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(fmt.Sprintf("daemon: CLOCK_MONOTONIC: %v", err)) // Linux always has it
	}
	return vrrp.Instant(ts.Nano())
}

// wallClock returns the function that turns instants into wall-clock time, as the two clocks stand now. The results keep
// the monotonic reading: the age of a snapshot is measured with it, whatever becomes of the wall clock.
func wallClock() func(vrrp.Instant) time.Time {
	wall, mono := time.Now(), monotonic()
	return func(i vrrp.Instant) time.Time { return wall.Add(i.Sub(mono)) }
}

// alarm wakes the loop at an instant. The runtime's own timers wait in whole milliseconds, which at an advertisement
// interval of 10 ms would be 3 % of Active_Down_Interval; a timerfd is exact to some tens of microseconds.
type alarm struct {
	// C gets a value after the alarm rang; it holds one.
	C chan struct{}

	file  *os.File
	ended chan struct{} // closed when ring has ended
	set   vrrp.Instant  // owned by the loop; Never: off
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timerfd: %w", err)
	}
	a := &alarm{C: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "timerfd"), ended: make(chan struct{}), set: vrrp.Never}
	go a.ring()
	return a, nil
}

// ring passes expiries on until the alarm is closed.
func (a *alarm) ring() {
	defer close(a.ended)
	var b [8]byte // the number of expiries, which is of no interest
	for {
		if _, err := a.file.Read(b[:]); errors.Is(err, os.ErrClosed) {
			return
		} else if err != nil {
			panic(fmt.Sprintf("daemon: read timerfd: %v", err)) // without it the agent would hold its role and say nothing
		}
		select {
		case a.C <- struct{}{}:
		default:
		}
	}
}

// at sets the alarm; Never switches it off. An alarm that is already set to that instant costs nothing.
func (a *alarm) at(i vrrp.Instant) error {
	if i == a.set {
		return nil
	}
	var spec unix.ItimerSpec
	if i != vrrp.Never {
		spec.Value = unix.NsecToTimespec(max(int64(i), 1))
	}
	conn, err := a.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("set timerfd: %w", err)
	}
	var set error
	if err := conn.Control(func(fd uintptr) { set = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil) }); err != nil {
		return fmt.Errorf("set timerfd: %w", err)
	}
	if set != nil {
		return fmt.Errorf("set timerfd: %w", set)
	}
	a.set = i
	return nil
}

// rang tells the alarm that its expiry has been seen.
func (a *alarm) rang() { a.set = vrrp.Never }

func (a *alarm) close() {
	_ = a.file.Close()
	<-a.ended
}
