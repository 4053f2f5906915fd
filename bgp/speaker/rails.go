package speaker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// The speaker process gets its rails - what it may announce - by a way of its own, besides gobgp's API: from a file in
// memory that it inherits and that has no name. The supervisor writes the configuration there before it lets the client
// have it, and the process looks there before it lets a request have its way (gobgp.Gate).

// railsFile is the supervisor's end.
type railsFile struct {
	mu      sync.Mutex
	fd      int // 0: not made yet
	content []byte
	// foreign: the process that runs looks into the file of an agent that has died, which nobody can write to any more.
	foreign bool
}

// errForeignRails says that the process that runs cannot be told of other rails.
var errForeignRails = errors.New("the process was started by an agent that has died, and keeps to the list that it was given")

// set writes the rails of a configuration, for the process that runs now and for those to come. It returns what was there
// before.
func (f *railsFile) set(cfg *bgp.SpeakerConfig) (before []byte, err error) {
	content, err := json.Marshal(gobgp.Rails{Allow: cfg.Allow, MaxAnnouncements: cfg.MaxAnnouncements})
	if err != nil {
		return nil, fmt.Errorf("encode the rails: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	content = append(content, '\n')
	if f.foreign && !bytes.Equal(content, f.content) {
		return nil, errForeignRails
	}
	before, f.content = f.content, content
	return before, f.write()
}

// restore takes back what set has written last.
func (f *railsFile) restore(content []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content = content
	_ = f.write() // it was possible a moment ago, and what is there now allows no announcement that anybody asks for
}

// write brings the file up to date, if there is one.
func (f *railsFile) write() error {
	if f.fd == 0 {
		return nil
	}
	// The new end first: half of one and half of the other is not JSON, and so means refusal, for a moment.
	if err := unix.Ftruncate(f.fd, int64(len(f.content))); err != nil {
		return fmt.Errorf("write the rails: %w", err)
	}
	if _, err := unix.Pwrite(f.fd, f.content, 0); err != nil {
		return fmt.Errorf("write the rails: %w", err)
	}
	return nil
}

// open returns the process's end, which can only be read.
func (f *railsFile) open() (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.foreign = false
	if f.fd == 0 {
		fd, err := unix.MemfdCreate("failoverd-rails", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, fmt.Errorf("make the file of the rails: %w", err)
		}
		f.fd = fd
	}
	if err := f.write(); err != nil {
		return nil, err
	}
	if r, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.fd), os.O_RDONLY, 0); err == nil {
		return r, nil
	}
	fd, err := unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 0) // no /proc: the process does not write there anyway
	if err != nil {
		return nil, fmt.Errorf("open the file of the rails: %w", err)
	}
	return os.NewFile(uintptr(fd), "rails"), nil
}

func (f *railsFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd != 0 {
		_ = unix.Close(f.fd)
		f.fd = 0
	}
}

// railsReader is the process's end.
type railsReader struct {
	file *os.File // nil: there is none, and nothing may be announced

	mu    sync.Mutex
	raw   []byte
	rails gobgp.Rails
}

// read returns the rails as they are now.
func (r *railsReader) read() (gobgp.Rails, error) {
	if r.file == nil {
		return gobgp.Rails{}, errors.New("this process was given no list of what it may announce")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	raw, err := io.ReadAll(io.NewSectionReader(r.file, 0, 1<<24))
	if err != nil {
		return gobgp.Rails{}, fmt.Errorf("read the rails: %w", err)
	}
	if r.raw != nil && bytes.Equal(raw, r.raw) {
		return r.rails, nil
	}
	var rails gobgp.Rails
	if err := json.Unmarshal(raw, &rails); err != nil {
		return gobgp.Rails{}, fmt.Errorf("the rails: %w", err)
	}
	r.raw, r.rails = raw, rails
	return rails, nil
}

// gatedUnary asks the gate about every request.
func gatedUnary(g *gobgp.Gate) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		refused, err := g.Permit(info.FullMethod, req)
		if err != nil {
			return nil, status.Error(codes.PermissionDenied, "the speaker refuses: "+err.Error())
		}
		answer, err := next(ctx, req)
		if err != nil && refused != nil {
			refused()
		}
		return answer, err
	}
}

// gatedStream is gatedUnary for streams. Those that an agent needs only ask.
func gatedStream(g *gobgp.Gate) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		if _, err := g.Permit(info.FullMethod, nil); err != nil {
			return status.Error(codes.PermissionDenied, "the speaker refuses: "+err.Error())
		}
		return next(srv, ss)
	}
}
