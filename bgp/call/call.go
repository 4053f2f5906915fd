// Package call makes unary gRPC calls between two processes of one host over a Unix socket, with as few hand-overs as there can
// be: the goroutine that calls writes the request and reads the answer itself, and on the other side one goroutine for each
// connection reads a request, has it carried out and writes the answer. gRPC's own transport passes each message through four
// goroutines more on either side, and on a machine with two cores it is their waking that a call costs: 1 ms, where this takes
// 0.2 ms.
//
// It is for a few calls that are urgent, one after the other. Streams, other hosts and whatever is not urgent are gRPC's.
// The service is described as for gRPC (grpc.ServiceDesc), passes the same interceptors, and a client may be given a Conn
// instead of a grpc.ClientConn. Errors are gRPC's as well: Unavailable when the connection is broken, DeadlineExceeded or
// Canceled when the caller's context has ended, and otherwise what the service said.
//
// A request carries its deadline, and one that is read after it is not carried out: nobody waits for it any more, and whoever
// sent it may have asked for the opposite since, over another connection.
//
// Read frame.go for what is on the socket.
package call

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SocketName is that of the socket beside a server's own, in the directory of both. What is said on it must not change: what
// says something else needs another name, because agent and speaker may be of different versions.
const SocketName = "call.sock"

// monotonic returns CLOCK_MONOTONIC in nanoseconds, which is the same for all processes of a host.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(fmt.Sprintf("call: CLOCK_MONOTONIC: %v", err)) // Linux always has it
	}
	return ts.Nano()
}
