package health

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// canOpen returns nil if the file can be opened for reading. A named pipe cannot: a reader without a writer would have
// to wait.
func canOpen(path string) error {
	f, kind, err := openNow(path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if kind == unix.S_IFIFO {
		return errors.New("it is a named pipe")
	}
	return nil
}

// openNow opens a file without waiting for whoever is at its other end, and returns its type too (S_IFMT).
func openNow(path string, flags int) (*os.File, uint32, error) {
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), st.Mode & unix.S_IFMT, nil
}

var errIrregular = errors.New("it is not a regular file")

// startSize is how much of a file is read: a number with room to spare.
const startSize = 128

// readStart returns the beginning of a regular file.
func readStart(path string) (string, error) {
	f, kind, err := openNow(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if kind != unix.S_IFREG {
		return "", errIrregular
	}
	b := make([]byte, startSize)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return string(b[:n]), nil
}

// writeNumber writes n to a regular file, which it makes if it is missing. Unless overwrite is set, a file that is
// there stays as it is.
func writeNumber(path string, n int, overwrite bool) error {
	flags := unix.O_WRONLY | unix.O_CREAT
	if !overwrite {
		flags |= unix.O_EXCL
	}
	f, kind, err := openNow(path, flags)
	if err != nil {
		if !overwrite && errors.Is(err, unix.EEXIST) {
			return nil
		}
		return err
	}
	defer f.Close()
	if kind != unix.S_IFREG {
		return errIrregular
	}
	// Whoever reads meanwhile must not find it empty, so it is not truncated before.
	text := strconv.Itoa(n) + "\n"
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}
