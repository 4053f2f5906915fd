package heartbeat

// Outcome is what became of a received datagram.
type Outcome uint8

// Outcomes. Only OK and, at a server, Stale come with a message.
const (
	OK Outcome = iota
	// Stale: a genuine request that proves nothing of when it was sent, because it echoes no challenge of this server's
	// that is recent. It is answered, with a challenge, and is no evidence of anything.
	Stale
	// Replay: a request that came before, or that is older than one that did.
	Replay
	// Malformed: not a message of this version and direction, or one that says what cannot be.
	Malformed
	// WrongKey: authenticated with none of the keys.
	WrongKey
	// Flood: not looked at, because too many came.
	Flood
	// Unexpected: a reply to no request that is waiting for one, or a request about a site that is not the server's.
	Unexpected
	// NumOutcomes is the number of outcomes.
	NumOutcomes
)

// String returns the word for the outcome in status, logs and metrics.
func (o Outcome) String() string {
	return [...]string{"ok", "stale", "replay", "malformed", "wrong_key", "flood", "unexpected"}[o]
}
