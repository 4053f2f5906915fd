package supervisor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Store is the memory that an agent shares with its supervisor, and that outlives it: its last will, and when it was alive
// last. Nobody waits for anybody: the supervisor reads it when the agent is dead, and so does the next agent.
//
//	octet 0     when the agent was alive last, nanoseconds of CLOCK_MONOTONIC, native
//	slot 0, 1   magic, sequence, length, CRC-32 of these and of the will, the will in JSON
//
// The agent writes to the older of the two slots, so that one of them is whole whenever it dies. One goroutine at a time
// may call Put and Alive.
type Store struct {
	file  *os.File
	page  []byte // the first one
	alive *int64
	seq   uint64 // of the newest slot
}

const (
	slotMagic  = "failwill"
	slotHeader = len(slotMagic) + 8 + 8 + 4
	// slotSize bounds a will. The file has holes: what is not written costs nothing.
	slotSize   = 64 << 20
	firstSlot  = 4096
	storeSize  = firstSlot + 2*slotSize
	storeName  = "failoverd-will"
	storeSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
)

// ErrNoWill says that a store holds no will.
var ErrNoWill = errors.New("there is no last will")

// NewStore makes an empty store.
func NewStore() (*Store, error) {
	fd, err := unix.MemfdCreate(storeName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make the memory of the last will: %w", err)
	}
	f := os.NewFile(uintptr(fd), storeName)
	if err := f.Truncate(storeSize); err != nil {
		return nil, errors.Join(fmt.Errorf("make the memory of the last will: %w", err), f.Close())
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, storeSeals); err != nil {
		return nil, errors.Join(fmt.Errorf("seal the memory of the last will: %w", err), f.Close())
	}
	return openStore(f)
}

// openStore opens the store in a file, which it takes over. One that could be cut short while it is mapped is refused.
func openStore(f *os.File) (*Store, error) {
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err == nil && seals&storeSeals != storeSeals {
		err = errors.New("it is not sealed")
	}
	if st, e := f.Stat(); err == nil && (e != nil || st.Size() != storeSize) {
		err = errors.Join(e, errors.New("it has another size"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the memory of the last will: %w", err), f.Close())
	}
	page, err := unix.Mmap(int(f.Fd()), 0, firstSlot, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the memory of the last will: %w", err), f.Close())
	}
	s := &Store{file: f, page: page, alive: (*int64)(unsafe.Pointer(&page[0]))}
	s.Refresh()
	return s, nil
}

// Alive says that the agent was alive at an instant of CLOCK_MONOTONIC. It costs nanoseconds.
func (s *Store) Alive(at time.Duration) { atomic.StoreInt64(s.alive, int64(at)) }

// LastAlive returns what Alive has said last.
func (s *Store) LastAlive() time.Duration { return time.Duration(atomic.LoadInt64(s.alive)) }

// Refresh takes note of wills that somebody else has written since the store was opened.
func (s *Store) Refresh() {
	for i := range uint64(2) {
		if seq, _, err := s.slot(i); err == nil {
			s.seq = max(s.seq, seq)
		}
	}
}

// Put replaces the will. It writes to memory, and never waits.
func (s *Store) Put(w *Will) error {
	will := w.encode()
	if slotHeader+len(will) > slotSize {
		return fmt.Errorf("last will of %d octets (at most %d)", len(will), slotSize-slotHeader)
	}
	seq := s.seq + 1
	if _, err := s.file.WriteAt(encodeSlot(seq, will), slotAt(seq%2)); err != nil {
		return fmt.Errorf("write the last will: %w", err)
	}
	s.seq = seq
	return nil
}

// Will returns the newest will that is whole, and its number. The error wraps ErrNoWill when none was ever written.
func (s *Store) Will() (*Will, uint64, error) {
	var (
		best []byte
		seq  uint64
		errs []error
	)
	for i := range uint64(2) {
		n, b, err := s.slot(i)
		if err != nil {
			errs = append(errs, err)
		} else if n > seq {
			seq, best = n, b
		}
	}
	if best == nil {
		return nil, 0, errors.Join(errs...)
	}
	w, err := decodeWill(best)
	return w, seq, err
}

func slotAt(i uint64) int64 { return firstSlot + int64(i)*slotSize }

// slot reads one of the two slots.
func (s *Store) slot(i uint64) (seq uint64, will []byte, err error) {
	header := make([]byte, slotHeader)
	if _, err := s.file.ReadAt(header, slotAt(i)); err != nil {
		return 0, nil, fmt.Errorf("read the last will: %w", err)
	}
	n, err := slotLength(header)
	if err != nil {
		return 0, nil, err
	}
	b := make([]byte, slotHeader+n)
	if _, err := s.file.ReadAt(b, slotAt(i)); err != nil {
		return 0, nil, fmt.Errorf("read the last will: %w", err)
	}
	return decodeSlot(b)
}

func encodeSlot(seq uint64, will []byte) []byte {
	b := make([]byte, 0, slotHeader+len(will))
	b = append(b, slotMagic...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, uint64(len(will)))
	sum := crc32.Update(crc32.ChecksumIEEE(b), crc32.IEEETable, will)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(b, will...)
}

// slotLength returns the length of the will behind a header.
func slotLength(header []byte) (int, error) {
	if string(header[:len(slotMagic)]) != slotMagic {
		if string(header) == string(make([]byte, slotHeader)) {
			return 0, ErrNoWill
		}
		return 0, errors.New("last will of another version, or none at all")
	}
	n := binary.BigEndian.Uint64(header[len(slotMagic)+8:])
	if n > slotSize-uint64(slotHeader) {
		return 0, fmt.Errorf("last will of %d octets (at most %d)", n, slotSize-slotHeader)
	}
	return int(n), nil
}

// decodeSlot reads what encodeSlot has written.
func decodeSlot(b []byte) (seq uint64, will []byte, err error) {
	if len(b) < slotHeader {
		return 0, nil, fmt.Errorf("last will of %d octets", len(b))
	}
	n, err := slotLength(b[:slotHeader])
	if err != nil {
		return 0, nil, err
	}
	if len(b) != slotHeader+n {
		return 0, nil, fmt.Errorf("last will of %d octets instead of %d", len(b)-slotHeader, n)
	}
	sum := crc32.Update(crc32.ChecksumIEEE(b[:slotHeader-4]), crc32.IEEETable, b[slotHeader:])
	if sum != binary.BigEndian.Uint32(b[slotHeader-4:]) {
		return 0, nil, errors.New("last will with a wrong checksum: the agent died while it wrote it")
	}
	return binary.BigEndian.Uint64(b[len(slotMagic):]), b[slotHeader:], nil
}

// monotonic is the time that Alive and the deadlines of a will are in.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(fmt.Sprintf("read CLOCK_MONOTONIC: %v", err)) // Linux always has it
	}
	return time.Duration(t.Nano())
}
