package link

import (
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// batchWriter is what ipv4.PacketConn and ipv6.PacketConn have in common for sending.
type batchWriter interface {
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// writer sends. One goroutine at a time uses it. It keeps its message: WriteBatch then allocates nothing, where WriteTo
// does.
type writer struct {
	sock *socket
	conn batchWriter
	ms   [1]ipv4.Message
}

func newWriter(sock *socket, conn batchWriter) *writer {
	w := &writer{sock: sock, conn: conn}
	w.ms[0].Buffers = make([][]byte, 1)
	return w
}

// write sends one message without waiting: a full queue is an error like any other.
func (w *writer) write(payload, oob []byte, to net.Addr) error {
	m := &w.ms[0]
	m.Buffers[0], m.OOB, m.Addr = payload, oob, to
	_, err := w.conn.WriteBatch(w.ms[:], unix.MSG_DONTWAIT)
	m.Buffers[0] = nil // the caller's again
	return w.sock.fault(err)
}
