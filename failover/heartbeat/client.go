package heartbeat

// window is how many requests may wait for their replies. At one a second it is far more than a reply is worth waiting
// for.
const window = 32

// Client is what a sender of requests remembers of one partner. It is not safe for concurrent use.
type Client struct {
	boot      uint64 // constant but for Succeed
	keys      keyring
	challenge challenge       // of the newest request that was answered
	answered  uint64          // its ID
	last      uint64          // ID of the newest request
	waiting   [window]waiting // by ID
	buf       []byte
}

// waiting is a request without a reply; id 0: none.
type waiting struct {
	id    uint64
	about string
}

// NewClient returns a client that has sent nothing. boot names its life: a random number, other than 0, that nothing else
// was ever given. The first one of keys signs, all of them verify.
func NewClient(boot uint64, keys [][]byte) *Client {
	return &Client{boot: boot, keys: newKeyring(keys)}
}

// Rekey replaces the keys. What is waiting for a reply goes on waiting.
func (c *Client) Rekey(keys [][]byte) { c.keys = newKeyring(keys) }

// Seal returns the datagram for a request. Its ID must be higher than the one before (ErrID). The octets are valid until the
// next call.
func (c *Client) Seal(r *Request) ([]byte, error) {
	key := c.keys.first()
	if key == nil {
		return nil, ErrNoKey
	}
	if r.ID <= c.last {
		return nil, ErrID
	}
	b, err := r.append(c.buf[:0], header{kind: kindRequest, boot: c.boot, id: r.ID, challenge: c.challenge})
	if err != nil {
		return nil, err
	}
	c.last, c.waiting[r.ID%window] = r.ID, waiting{r.ID, r.About}
	c.buf = sign(key, b)
	return c.buf, nil
}

// Open reads a datagram. A reply is taken once, and only if it answers a request that waits for it; its challenge is what
// the next requests prove with that they are sent after it.
func (c *Client) Open(datagram []byte) (Reply, Outcome) {
	if !IsReply(datagram) {
		return Reply{}, Malformed
	}
	// Who has not seen the request cannot know the nonce, and costs no more than this.
	h := readHeader(datagram)
	w := &c.waiting[h.id%window]
	if h.boot != c.boot || h.id == 0 || h.id != w.id {
		return Reply{}, Unexpected
	}
	if c.keys.verify(datagram) == nil {
		return Reply{}, WrongKey
	}
	h, r, ok := parseReply(datagram)
	switch {
	case !ok:
		return Reply{}, Malformed
	case r.About != w.about:
		return Reply{}, Unexpected
	}
	*w = waiting{}
	if h.id > c.answered { // replies overtake each other
		c.answered, c.challenge = h.id, h.challenge
	}
	return r, OK
}
