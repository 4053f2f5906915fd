package heartbeat

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// macLen is the length of the HMAC-SHA256 at the end of each datagram.
const macLen = sha256.Size

// keyring authenticates datagrams. Which of the keys was used is not written in them: there are two for as long as a key
// is being replaced, and one otherwise.
type keyring struct {
	macs []hash.Hash
	sum  [macLen]byte // scratch, so that verifying allocates nothing
}

func newKeyring(keys [][]byte) keyring {
	k := keyring{macs: make([]hash.Hash, len(keys))}
	for i, key := range keys {
		k.macs[i] = hmac.New(sha256.New, key)
	}
	return k
}

// first returns the key that signs; nil: there is none.
func (k *keyring) first() hash.Hash {
	if len(k.macs) == 0 {
		return nil
	}
	return k.macs[0]
}

// verify returns the key that a datagram of at least macLen octets is authenticated with; nil: none of them.
func (k *keyring) verify(b []byte) hash.Hash {
	body, mac := b[:len(b)-macLen], b[len(b)-macLen:]
	for _, m := range k.macs {
		m.Reset()
		m.Write(body)
		if hmac.Equal(m.Sum(k.sum[:0]), mac) {
			return m
		}
	}
	return nil
}

// sign appends the HMAC of b to b.
func sign(m hash.Hash, b []byte) []byte {
	m.Reset()
	m.Write(b)
	return m.Sum(b)
}
