package daemon

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"failoverd/conf"
	"failoverd/failover"
)

// maxAuthority is how much of a file of certificates is looked at: ten times what a distribution trusts.
const maxAuthority = 4 << 20

// authorities says which ca files cannot be used as they stand. A check reads its file when it looks, so that the file may
// come later; until then the check is blind.
func authorities(cfg *failover.Config) (found []conf.Diagnostic) {
	for _, u := range cfg.Authorities {
		if why := authority(u.Path); why != "" {
			found = append(found, conf.Diagnostic{
				Pos: conf.Pos{File: u.File, Line: u.Line, Column: u.Column}, Severity: conf.Warning,
				Message: fmt.Sprintf("ca %s: %s; the check sees nothing until that is mended", u.Path, why),
			})
		}
	}
	return found
}

// authority says why a file has no certificates; empty: it has. It does not wait for a FIFO.
func authority(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return reason(err).Error()
	}
	defer f.Close()
	if i, err := f.Stat(); err != nil || !i.Mode().IsRegular() {
		return "not a regular file"
	}
	text, err := io.ReadAll(io.LimitReader(f, maxAuthority))
	switch {
	case err != nil:
		return reason(err).Error()
	case !x509.NewCertPool().AppendCertsFromPEM(text):
		return "no certificate in it (want a PEM file)"
	}
	return ""
}
