package health

import (
	"errors"
	"io/fs"
	"syscall"
)

// lone makes calls that may block for ever, such as those to a dead file server: each in a goroutine of its own, never
// two at once. It has one owner.
type lone[T any] struct {
	call    func() T
	pending chan T // of the call that is under way; nil: none
}

// begin returns the channel that brings the result of the call under way, or of a new one.
func (l *lone[T]) begin() <-chan T {
	if l.pending == nil {
		c := make(chan T, 1) // whoever asked may have gone
		l.pending = c
		call := l.call
		go func() { c <- call() }()
	}
	return l.pending
}

// taken must be called when the result has been received.
func (l *lone[T]) taken() { l.pending = nil }

// plain is the error without the operation and the path, which the reader of a reason knows: "permission denied".
func plain(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}
