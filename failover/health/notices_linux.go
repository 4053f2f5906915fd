package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// noticed are the changes of a directory that matter. Writing counts when it is complete (IN_CLOSE_WRITE), so that a
// file is not read between being emptied and being filled.
const noticed = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// notices tells file checks of changes in their directories (inotify). Directories are watched and not the files,
// because a file may be missing, or be replaced by another one of the same name.
type notices struct {
	file *os.File
	raw  syscall.RawConn

	mu   sync.Mutex
	dirs map[int32]map[*fileCheck]bool // by the kernel's number
	of   map[*fileCheck]int32
	gone map[*fileCheck]bool // ended; a look of theirs may still be blocked
}

func openNotices() (*notices, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open inotify: %w", err), f.Close())
	}
	return &notices{
		file: f, raw: raw,
		dirs: make(map[int32]map[*fileCheck]bool), of: make(map[*fileCheck]int32), gone: make(map[*fileCheck]bool),
	}, nil
}

// watch sees to it that f is woken when something of its name changes in dir, whichever directory bears that name now.
// It may block as any use of a path may.
func (n *notices) watch(dir string, f *fileCheck) error {
	var wd int
	var err error
	if e := n.raw.Control(func(fd uintptr) { wd, err = unix.InotifyAddWatch(int(fd), dir, noticed) }); e != nil {
		return fmt.Errorf("watch %s: %w", dir, e)
	}
	if err != nil {
		n.forgetDir(f)
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	number := int32(wd)
	if old, ok := n.of[f]; ok && old != number {
		n.leave(f, old)
	}
	if n.dirs[number] == nil {
		n.dirs[number] = make(map[*fileCheck]bool)
	}
	n.dirs[number][f], n.of[f] = true, number
	if n.gone[f] {
		delete(n.gone, f)
		n.leave(f, number)
	}
	return nil
}

// forget is for a check that ends.
func (n *notices) forget(f *fileCheck) {
	n.mu.Lock()
	if f.busy != nil {
		n.gone[f] = true
	}
	n.mu.Unlock()
	n.forgetDir(f)
}

func (n *notices) forgetDir(f *fileCheck) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if number, ok := n.of[f]; ok {
		n.leave(f, number)
	}
}

// leave ends what f has to do with a directory; the last one stops the watch.
func (n *notices) leave(f *fileCheck, number int32) {
	delete(n.of, f)
	delete(n.dirs[number], f)
	if len(n.dirs[number]) > 0 {
		return
	}
	delete(n.dirs, number)
	// An error says that the directory is gone already, and its watch with it.
	_ = n.raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(number)) })
}

// loop delivers notices until ctx ends.
func (n *notices) loop(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = n.file.Close() }) // nothing of it is needed any more
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		k, err := n.file.Read(buf)
		if err != nil {
			return
		}
		n.dispatch(buf[:k])
	}
}

// dispatch wakes the checks that the events in b are about. A lost event may have been about any.
func (n *notices) dispatch(b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(b) >= unix.SizeofInotifyEvent {
		number := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if size > len(b) {
			return
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:size]), "\x00")
		b = b[size:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			for f := range n.of {
				f.wake()
			}
		case mask&unix.IN_IGNORED != 0:
			for f := range n.dirs[number] {
				delete(n.of, f)
				f.wake()
			}
			delete(n.dirs, number)
		default:
			for f := range n.dirs[number] {
				if name == "" || name == f.name {
					f.wake()
				}
			}
		}
	}
}
