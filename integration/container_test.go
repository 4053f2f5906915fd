package integration

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// container is the topology of the recipe container: a host that runs BIRD, a container on it, and another site. Here all
// of them are network namespaces.
type container struct {
	t              *testing.T
	lab            *lab.Lab
	host, box, far *lab.Node
	port           *lab.Port // of the container, if it hangs on a bridge
	agent          *agent    // in the container
	service        *lab.Process
}

// boxAddrs are the addresses of the service.
var boxAddrs = []netip.Addr{netip.MustParseAddr("172.22.76.110"), netip.MustParseAddr("fd42:4242:76::110")}

// newContainer builds it, with the container on a cable of its own or on a bridge, and starts the other site.
func newContainer(t *testing.T, bridge bool) *container {
	t.Helper()
	notShort(t)
	need(t, "bird", "birdc")
	c := &container{t: t, lab: lab.ForTest(t)}
	var err error
	c.host, err = c.lab.Node("host")
	must(t, err)
	c.far, err = c.lab.Node("far")
	must(t, err)
	must(t, c.lab.Connect(c.host, "far", c.far, "eth0"))
	c.addresses(c.host, "far", "10.42.1.1/30", "fd42:43::1/64")
	c.addresses(c.far, "eth0", "10.42.1.2/30", "fd42:43::2/64")
	c.startBox(bridge)
	startBirdText(t, c.lab, c.host, exampleFile(t, "container/host.bird"))
	startService(t, c.far)
	startExample(t, c.lab, c.far, "container/othersite.conf", "")
	return c
}

func (c *container) addresses(n *lab.Node, nic string, addrs ...string) {
	c.t.Helper()
	for _, a := range addrs {
		must(c.t, n.AddAddress(nic, a))
	}
}

// startBox makes the container, and runs the service and failoverd in it.
func (c *container) startBox(bridge bool) {
	c.t.Helper()
	var err error
	c.box, err = c.lab.Node("box")
	must(c.t, err)
	if bridge {
		sw, err := c.lab.Switch("docker0")
		must(c.t, err)
		_, err = sw.Plug(c.host, "box")
		must(c.t, err)
		c.port, err = sw.Plug(c.box, "eth0")
		must(c.t, err)
	} else {
		must(c.t, c.lab.Connect(c.host, "box", c.box, "eth0"))
	}
	c.addresses(c.host, "box", "10.42.0.1/30", "fd42:42::1/64")
	c.addresses(c.box, "eth0", "10.42.0.2/30", "fd42:42::2/64")
	c.service = startService(c.t, c.box)
	c.agent = startExample(c.t, c.lab, c.box, "container/container.conf", "")
}

// TestContainer: the host sends the service's packets to the container that runs on it, which alone has the addresses,
// and to the other site as soon as the service, or the container, is gone.
func TestContainer(t *testing.T) {
	t.Parallel()
	c := newContainer(t, false)
	waitFetch(t, c.host, "box", 20*time.Second, boxAddrs...)
	for _, a := range boxAddrs {
		if holds(t, c.host, a) || !holds(t, c.box, a) {
			t.Errorf("%s: the host has it: %t, the container: %t", a, holds(t, c.host, a), holds(t, c.box, a))
		}
	}

	// Two failed checks, half a second apart and after 0.4 s at most, and BIRD's choice.
	must(t, c.service.Kill())
	took := waitFetch(t, c.host, "far", 2*500*time.Millisecond+400*time.Millisecond+time.Second, boxAddrs...)
	t.Logf("the service died: the other site answers after %v", took)
	waitFor(t, time.Second, "the container to let the addresses go", func() bool {
		return !holds(t, c.box, boxAddrs[0]) && !holds(t, c.box, boxAddrs[1])
	})
	c.service = startService(t, c.box)
	took = waitFetch(t, c.host, "box", 10*time.Second, boxAddrs...)
	t.Logf("the service is back: the container answers after %v", took)

	must(t, c.box.Destroy())
	took = waitFetch(t, c.host, "far", time.Second, boxAddrs...)
	t.Logf("the container was destroyed: the other site answers after %v", took)
	waitFor(t, 10*time.Second, "the kernel to take the cable away", func() bool {
		_, err := c.host.HardwareAddr("box")
		return err != nil
	})
	c.startBox(false)
	took = waitFetch(t, c.host, "box", 20*time.Second, boxAddrs...)
	t.Logf("another container: it answers after %v", took)

	// Nobody in it is left to close a connection: the loss of the link alone has to do.
	must(t, c.agent.proc.Pause())
	must(t, c.box.DeleteLink("eth0"))
	took = waitFetch(t, c.host, "far", time.Second, boxAddrs...)
	t.Logf("the link is lost: the other site answers after %v", took)
}

// TestContainerOnBridge: on a bridge, whose carrier stays, a container that vanishes without a word is noticed by the hold
// time.
func TestContainerOnBridge(t *testing.T) {
	t.Parallel()
	c := newContainer(t, true)
	waitFetch(t, c.host, "box", 20*time.Second, boxAddrs...)
	must(t, c.port.Cut())
	must(t, c.box.Destroy())
	took := waitFetch(t, c.host, "far", 3*time.Second+3*time.Second+slack, boxAddrs...) // the hold time, and BIRD's clock
	t.Logf("the container vanished: the other site answers after %v", took)
}
