package script

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of what a command can say.
const (
	// MaxLine is the greatest length of a line of output in octets; the rest of a longer one is dropped.
	MaxLine = 1000
	// LineBurst lines may come at once, and LineRate more per second. Of what is dropped the number is told.
	LineBurst = 200
	LineRate  = 50
)

const (
	waitingLines = 2 * LineBurst // between the command and who reads its lines
	lineTime     = time.Second   // how long one call of Output may hold up the end of Run
	pipeSize     = 1 << 16       // the kernel's usual
)

// capture takes what a command writes. Reading never waits for who gets the lines, so that the command never does.
type capture struct {
	output      func(string)
	read, write *os.File      // nil: nobody wants to know
	lines       chan string   // from reading to handing out
	readDone    chan struct{} // closed when reading has ended
	handedOut   chan struct{} // closed when all lines are handed out

	// Owned by the goroutine that reads.
	line    []byte
	cut     bool // the line is longer than MaxLine
	left    float64
	filled  time.Time // when left was right
	dropped int
	last    string // the last line that was dropped
	eof     bool
}

// newCapture returns a capture for one command; output nil: it takes nothing.
func newCapture(output func(string)) (*capture, error) {
	c := &capture{output: output}
	if output == nil {
		return c, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	// Only this end must not block: programs do not expect it of theirs.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_, _ = unix.Close(fds[0]), unix.Close(fds[1])
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	c.read, c.write = os.NewFile(uintptr(fds[0]), "output of a command"), os.NewFile(uintptr(fds[1]), "output of a command")
	c.lines = make(chan string, waitingLines)
	c.readDone, c.handedOut = make(chan struct{}), make(chan struct{})
	c.left = LineBurst
	return c, nil
}

// begin starts reading. The command has its end of the pipe by then, or none at all.
func (c *capture) begin() {
	if c.output == nil {
		return
	}
	_ = c.write.Close()
	c.filled = time.Now()
	go c.readAll()
	go func() {
		defer close(c.handedOut)
		for line := range c.lines {
			c.output(line)
		}
	}()
}

// end hands out what the command has written until now.
func (c *capture) end() {
	if c.output == nil {
		return
	}
	_ = c.read.SetReadDeadline(time.Unix(1, 0))
	<-c.readDone
	if c.eof {
		_ = c.read.Close()
	} else {
		leftOpen.keep(c.read)
	}
	limit := time.NewTimer(lineTime)
	defer limit.Stop()
	select {
	case <-c.handedOut:
	case <-limit.C:
	}
}

// readAll reads until the other end is closed everywhere, or to what is there when the deadline comes.
func (c *capture) readAll() {
	defer close(c.readDone)
	defer close(c.lines)
	buf := make([]byte, 4096)
	for {
		n, err := c.read.Read(buf)
		c.split(buf[:n])
		if err != nil {
			c.eof = !errors.Is(err, os.ErrDeadlineExceeded)
			break
		}
	}
	if !c.eof {
		c.sweep(buf)
	}
	if len(c.line) > 0 {
		c.emit()
	}
	if c.dropped > 0 {
		c.tell(fmt.Sprintf("%d lines of output dropped, the last one follows", c.dropped))
		c.tell(c.last)
	}
}

// sweep reads what is in the pipe, and does not wait.
func (c *capture) sweep(buf []byte) {
	raw, err := c.read.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // unlike raw.Read it does not mind the deadline
		for total := 0; total < pipeSize; {
			n, err := unix.Read(int(fd), buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n <= 0 {
				c.eof = err == nil
				return
			}
			total += n
			c.split(buf[:n])
		}
	})
}

// split takes more output and emits the lines that are complete.
func (c *capture) split(p []byte) {
	for len(p) > 0 {
		part, rest, complete := bytes.Cut(p, []byte("\n"))
		if room := MaxLine - len(c.line); len(part) > room {
			part, c.cut = part[:room], true
		}
		c.line = append(c.line, part...)
		if complete {
			c.emit()
		}
		p = rest
	}
}

// emit ends the current line.
func (c *capture) emit() {
	line := string(bytes.TrimSuffix(c.line, []byte("\r")))
	if c.cut {
		line += "..."
	}
	c.line, c.cut = c.line[:0], false

	now := time.Now()
	c.left = min(LineBurst, c.left+now.Sub(c.filled).Seconds()*LineRate)
	c.filled = now
	if c.left < 1 || !c.offer(line) {
		c.dropped++
		c.last = line
		return
	}
	c.left--
}

// offer hands a line on if there is room, and leaves some for what is told at the end.
func (c *capture) offer(line string) bool {
	if len(c.lines) >= cap(c.lines)-2 {
		return false
	}
	c.lines <- line // only this goroutine adds lines
	return true
}

// tell hands a line on in the room that offer leaves.
func (c *capture) tell(line string) { c.lines <- line }

// leftOpen are outputs that processes in the background hold open after their command has ended. A service that a
// script has started would die of SIGPIPE if nobody read what it writes, and it cannot know that.
var leftOpen = &drains{most: 64}

// drains reads outputs and throws away what it reads. When there are too many the oldest is closed.
type drains struct {
	most int

	mu    sync.Mutex
	files []*os.File
}

func (d *drains) keep(f *os.File) {
	_ = f.SetReadDeadline(time.Time{})
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.files) >= d.most {
		_ = d.files[0].Close()
		d.files = d.files[1:]
	}
	d.files = append(d.files, f)
	go func() {
		_, _ = io.Copy(io.Discard, f)
		_ = f.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		for i := range d.files {
			if d.files[i] == f {
				d.files = append(d.files[:i:i], d.files[i+1:]...)
				return
			}
		}
	}()
}
