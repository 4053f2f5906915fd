package health

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// linkProber looks whether an interface is there, up, and has a carrier, as the kernel has it at that moment. track_interface
// is told of every change, but only of interfaces of the agent's own network namespace.
func linkProber(name string, w way) prober {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return senseless(err)
	}
	return func(ctx context.Context) outcome {
		hinder(ctx, neverAsked) // nobody else is asked
		fd, err := way{namespace: w.namespace}.socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return w.failure(ctx, err)
		}
		defer unix.Close(fd)
		// To the question for its flags the kernel answers after it has tried to load a module of that name, which takes time.
		if errors.Is(unix.BindToDevice(fd, name), unix.ENODEV) {
			return outcome{cause: "it does not exist"}
		}
		switch err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); {
		case errors.Is(err, unix.ENODEV):
			return outcome{cause: "it does not exist"}
		case err != nil:
			return w.failure(ctx, err)
		}
		switch flags := request.Uint16(); {
		case flags&unix.IFF_UP == 0:
			return outcome{cause: "it is down"}
		case flags&unix.IFF_RUNNING == 0:
			return outcome{cause: "it has no carrier"}
		}
		return outcome{ok: true, cause: "it is up"}
	}
}
