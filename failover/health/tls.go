package health

import (
	"crypto/x509"
	"errors"
	"fmt"
)

// tlsFailure is the outcome of what went wrong with a certificate so that its text would change each time.
func tlsFailure(err error) (o outcome, ok bool) {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return outcome{cause: "the certificate has expired or is not valid yet", said: harmless(fmt.Sprint(invalid))}, true
	}
	return outcome{}, false
}
