package conf

import (
	"encoding/hex"
	"io/fs"
	"path"
	"strings"
)

// Modes is what a Source implements that knows who may read its files. Secrets in files that others than their owner can
// read are warned about; of a Source that does not know, nothing is said.
type Modes interface {
	// Mode returns the permissions of a file that Read has returned the content of; ok is false if they are not known.
	Mode(name string) (mode fs.FileMode, ok bool)
}

// notOnlyOwner are the permissions that a file with a secret should give to nobody.
const notOnlyOwner fs.FileMode = 0o066

// secret returns the octets that a word stands for: file:PATH is the content of a file, without the newline at its end;
// hex:DIGITS, there or here, are octets in hexadecimal; everything else is taken as it is. There must be lo to hi of them.
// what is the statement, for messages, which never quote a secret.
func (d *decoder) secret(t Token, what string, lo, hi int) ([]byte, bool) {
	if name, ok := strings.CutPrefix(t.Text, "file:"); ok && !strings.ContainsRune(name, 0) {
		return d.secretFile(t, what, name, lo, hi)
	}
	d.exposed(t, what, t.Pos.File)
	return d.decodeSecret(t, what, t.Text, lo, hi)
}

// secretFile returns the secret in a file. A relative name is relative to the file that the word stands in.
func (d *decoder) secretFile(t Token, what, name string, lo, hi int) ([]byte, bool) {
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(t.Pos.File), name)
	}
	data, err := d.src.Read(name)
	if err != nil {
		d.errorf(t, "%s: %v", what, err)
		return nil, false
	}
	d.exposed(t, what, name)
	text := strings.TrimRight(string(data), "\r\n")
	if strings.ContainsAny(text, "\n\x00") {
		d.errorf(t, "%s %s: want one line with the key", what, name)
		return nil, false
	}
	// The file is part of what the configuration says.
	d.extra = append(d.extra, text)
	return d.decodeSecret(t, what+" "+name, text, lo, hi)
}

// decodeSecret holds a secret to its length.
func (d *decoder) decodeSecret(t Token, what, text string, lo, hi int) ([]byte, bool) {
	key := []byte(text)
	if digits, ok := strings.CutPrefix(text, "hex:"); ok {
		var err error
		if key, err = hex.DecodeString(digits); err != nil {
			d.errorf(t, "%s: hex: wants an even number of hexadecimal digits and nothing else", what)
			return nil, false
		}
	}
	switch n := len(key); {
	case n < lo:
		d.errorf(t, "%s: a key of %d octets is too short, it could be guessed (want %d to %d)", what, n, lo, hi)
	case n > hi:
		d.errorf(t, "%s: a key of %d octets is too long (want %d to %d)", what, n, lo, hi)
	default:
		return key, true
	}
	return nil, false
}

// exposed warns once about a file with a secret that others than its owner can read or change.
func (d *decoder) exposed(t Token, what, file string) {
	m, ok := d.src.(Modes)
	if !ok {
		return
	}
	mode, ok := m.Mode(file)
	if !ok || mode.Perm()&notOnlyOwner == 0 || !d.first("exposed "+file) {
		return
	}
	d.warnf(t, "%s: others than its owner can read or change %s (mode %04o); whoever has the key can speak for this node; chmod 600 helps",
		what, file, mode.Perm())
}
