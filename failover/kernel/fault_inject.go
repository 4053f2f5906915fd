//go:build faultinject

package kernel

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// faulty returns a kernel that refuses to write and to list addresses while the file that FAILOVERD_FAULTS names has the word
// "netlink". It is for the labs.
func faulty(h host) host { return faultyHost{h} }

type faultyHost struct{ host }

func (faultyHost) broken() error {
	b, err := os.ReadFile(os.Getenv("FAILOVERD_FAULTS"))
	if err != nil || !strings.Contains(string(b), "netlink") {
		return nil
	}
	return fmt.Errorf("injected by a lab: %w", unix.ENOBUFS)
}

func (f faultyHost) write(ops []op) []error {
	err := f.broken()
	if err == nil {
		return f.host.write(ops)
	}
	errs := make([]error, len(ops))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (f faultyHost) addresses() ([]entry, error) {
	if err := f.broken(); err != nil {
		return nil, err
	}
	return f.host.addresses()
}
