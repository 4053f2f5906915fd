package lab

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// stamps keeps the kernel's packet timestamps switched on. The kernel turns them on from a work queue some time after the
// first socket has asked; until then a packet gets the time at which it is read, which can put two packets in the wrong
// order.
type stamps struct {
	once sync.Once
	err  error
	conn *net.UDPConn
}

// on switches timestamps on, once for the lab, and returns when they are. n is any node.
func (s *stamps) on(n *Node) error {
	s.once.Do(func() {
		err := n.Do(func() (err error) {
			s.conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			return err
		})
		if err == nil {
			n.lab.own(s.conn)
			err = s.wait()
		}
		if err != nil {
			s.err = fmt.Errorf("switch timestamps on: %w", err)
		}
	})
	return s.err
}

// wait sends packets to itself and reads each a little later, until the stamp is from before the reading.
func (s *stamps) wait() error {
	rc, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = rc.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	if err := errors.Join(err, set); err != nil {
		return err
	}
	const delay = 2 * time.Millisecond
	buf, oob := make([]byte, 16), make([]byte, 128)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if _, err := s.conn.WriteTo(buf[:1], s.conn.LocalAddr()); err != nil {
			return err
		}
		time.Sleep(delay)
		read := time.Now()
		_, on, _, _, err := s.conn.ReadMsgUDP(buf, oob)
		if err != nil {
			return err
		}
		if at, ok := timestamp(oob[:on]); ok && read.Sub(at) > delay/2 {
			return nil
		}
	}
	return ErrTimeout
}
