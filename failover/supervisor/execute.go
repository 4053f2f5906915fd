package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"failoverd/vrrp/link"
	"failoverd/vrrp/wire"
)

// execute sends the advertisements of a will, in the network namespace that a file stands for; nil: in its own. It returns
// how many have left. What does not, is in the error; the rest leaves in any case.
func (w *Will) execute(namespace *os.File) (sent int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if namespace != nil {
			// The thread is of no use to anybody else any more: it ends with this goroutine.
			runtime.LockOSThread()
			if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
				err = fmt.Errorf("enter the network namespace of the agent: %w", err)
				return
			}
		}
		sent, err = w.send()
	}()
	<-done
	return sent, err
}

// send opens what is needed for each advertisement, once.
func (w *Will) send() (sent int, err error) {
	links := make(map[link.ID]*link.Link)
	defer func() {
		go func() { // to leave a multicast group takes a lock of the kernel's
			for _, l := range links {
				_ = l.Close()
			}
		}()
	}()
	var errs []error
	for i := range w.Adverts {
		a := &w.Adverts[i]
		id := link.ID{Interface: a.Interface, Family: wire.FamilyOf(a.Src)}
		l := links[id]
		if l == nil {
			var e error
			if l, e = openFor(a, id); e != nil {
				errs = append(errs, e)
				continue
			}
			links[id] = l
		}
		var e error
		if a.MAC == [6]byte{} {
			e = l.Send(a.Payload, a.Src, a.Dst, a.TTL)
		} else {
			e = l.SendFrom(a.MAC, a.Payload, a.Src, a.Dst, a.TTL)
		}
		if e != nil {
			errs = append(errs, e)
			continue
		}
		sent++
	}
	return sent, errors.Join(errs...)
}

// openFor opens the link of an advertisement. An interface of its name with another index is another interface.
func openFor(a *Advert, id link.ID) (*link.Link, error) {
	if id.Interface != "" {
		i, err := net.InterfaceByName(id.Interface)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", id.Interface, err)
		}
		if i.Index != a.Index {
			return nil, fmt.Errorf("interface %s is another one now (index %d instead of %d)", id.Interface, i.Index, a.Index)
		}
	}
	return link.Open(id, link.Options{})
}
