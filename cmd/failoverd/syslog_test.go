package main

import (
	"errors"
	"log/slog"
	"log/syslog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A system log that is not there yet, as at boot, gets what is logged once it is.
func TestSyslogComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var socket *net.UnixConn
	defer func() { socket.Close() }()
	asked := 0
	open := func() (*syslog.Writer, error) {
		if asked++; socket == nil {
			return nil, errors.New("not there")
		}
		return syslog.Dial("unixgram", path, syslog.LOG_DAEMON|syslog.LOG_INFO, "failoverd")
	}
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(newSyslogHandler(open, slog.LevelInfo)).With("vr", "a")
		for range 100 {
			log.Info("lost")
		}
		if asked != 1 {
			t.Errorf("asked for the log %d times at once", asked)
		}
		var err error
		if socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(syslogGap)
		log.Warn("two\nlines", "script", "a\nb")
		log.Debug("not this one")
		log.Error("last")
	})
	buf := make([]byte, 1024)
	for _, want := range [][2]string{{"<28>", `msg="two\nlines" vr=a script="a\nb"`}, {"<27>", "msg=last vr=a"}} {
		n, err := socket.Read(buf)
		if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, want[0]) || !strings.Contains(got, want[1]) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}
