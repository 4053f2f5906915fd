package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// serviceEnv makes this program a web server instead of a test: LISTEN NAME. A server in a process of its own can be
// killed, and ends with the namespace that it is in.
const serviceEnv = "FAILOVERD_LAB_SERVICE"

// serveHTTP answers every request with the name of the server.
func serveHTTP(spec string) int {
	listen, name, _ := strings.Cut(spec, " ")
	err := http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// startService runs a web server on port 8080 of a node.
func startService(t *testing.T, n *lab.Node) *lab.Process {
	t.Helper()
	p, err := n.Start(lab.Command{Name: "service", Argv: []string{os.Args[0]}, Env: []string{serviceEnv + "=:8080 " + n.Name()}})
	must(t, err)
	return p
}

// fetch asks the web server at an address from a node, and returns its name; empty: nobody answers.
func fetch(n *lab.Node, a netip.Addr) string {
	var conn net.Conn
	err := n.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", netip.AddrPortFrom(a, 8080).String(), 200*time.Millisecond)
		return err
	})
	if err != nil {
		return ""
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return ""
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return ""
	}
	b, err := io.ReadAll(conn)
	_, body, ok := strings.Cut(string(b), "\r\n\r\n")
	if err != nil || !ok {
		return ""
	}
	return body
}

// waitFetch waits until the web server that answers at each of the addresses is the one named, and returns how long that
// took.
func waitFetch(t *testing.T, n *lab.Node, name string, d time.Duration, addrs ...netip.Addr) time.Duration {
	t.Helper()
	began := time.Now()
	for _, a := range addrs {
		got := ""
		if err := lab.WaitFor(t.Context(), d-time.Since(began), fmt.Sprintf("%s to be answered by %q", a, name), func() bool {
			got = fetch(n, a)
			return got == name
		}); err != nil {
			t.Fatalf("%v; it is answered by %q", err, got)
		}
	}
	return time.Since(began)
}
