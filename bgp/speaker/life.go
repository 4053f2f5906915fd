package speaker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is the writing end of the lease pipe of the process that runs now, if one does.
type pipe struct {
	mu sync.Mutex
	fd int // non-blocking; 0: none
}

// write puts one stamp into the pipe. It never waits: not for a reader that is frozen, the stamps that it has not read
// yet are as good; and not for a process that is just being started, which gets the last stamp anyway.
func (p *pipe) write(at time.Duration) {
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if p.fd != 0 {
		// Full or broken: the supervisor sees a dead reader, a frozen one has enough to read.
		_, _ = unix.Write(p.fd, stamp(at))
	}
}

// open makes a pipe, with first in it, and returns the reading end.
func (p *pipe) open(first time.Duration) (*os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make the lease pipe: %w", err)
	}
	r := os.NewFile(uintptr(fds[0]), "lease")
	if err := unix.SetNonblock(fds[1], true); err != nil {
		return nil, errors.Join(fmt.Errorf("make the lease pipe: %w", err), unix.Close(fds[1]), r.Close())
	}
	p.mu.Lock()
	p.fd = fds[1]
	p.mu.Unlock()
	p.write(first)
	return r, nil
}

// close ends the lease: the process sees the end of the pipe.
func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd != 0 {
		_ = unix.Close(p.fd)
		p.fd = 0
	}
}

// live starts one process and returns when it is gone: with the reason, or after ctx ended.
//
// The process gets a thread of its own for as long as it lives: it is born without privileges because the thread gives
// them up before, and it dies with the thread (PR_SET_PDEATHSIG is about threads, not processes).
func (s *Supervised) live(ctx context.Context) error {
	defer s.client.Gone()
	if p := s.adopt; p != nil {
		s.adopt = nil
		return s.goOn(ctx, p)
	}
	if err := s.newDir(); err != nil {
		return err
	}
	result := make(chan error, 1)
	onFreshThread(func() { result <- s.liveOnThread(ctx) })
	return <-result
}

// onFreshThread runs f on a thread that nothing else will ever run on: the runtime ends the thread of a goroutine that
// ends without unlocking it. The main thread cannot end and stands for the process in /proc, so it is not used.
func onFreshThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			f()
		}()
		<-done
	}()
}

func (s *Supervised) liveOnThread(ctx context.Context) error {
	if s.cfg.Setup != nil {
		if err := s.cfg.Setup(); err != nil {
			return fmt.Errorf("prepare the thread: %w", err)
		}
	}
	release := s.bar()
	defer release()
	if err := startOrdinaries(); err != nil {
		return err
	}
	if err := dropPrivileges(s.cfg.Speaker.ListenPort > 0 && s.cfg.Speaker.ListenPort < 1024); err != nil {
		s.cfg.Log.Debug("the speaker process keeps privileges that it does not need", "err", err)
	}
	lease, err := s.pipe.open(time.Duration(s.touched.Load()))
	if err != nil {
		return err
	}
	defer s.pipe.close()
	defer s.drop()
	cmd, stderr, err := s.start(lease)
	if err != nil {
		return err
	}
	s.keep(cmd.Process.Pid, stderr)
	release()
	s.setBirth(time.Now(), s.cfg.Version)
	s.pid.Store(int64(cmd.Process.Pid))
	defer s.pid.Store(0)
	words := make(chan string, 1)
	go func() { words <- s.listen(stderr) }()
	gone := make(chan error, 1)
	go func() {
		lastWords := <-words // Wait closes the pipe: everything has to be read before
		gone <- died(cmd.Wait(), lastWords)
	}()
	s.client.Wake()
	return s.attend(ctx, cmd.Process, gone)
}

// bar holds Config.Bar until release is called, which may be done more than once.
func (s *Supervised) bar() (release func()) {
	if s.cfg.Bar == nil {
		return func() {}
	}
	s.cfg.Bar.Lock()
	return sync.OnceFunc(s.cfg.Bar.Unlock)
}

// start executes the command with the reading end of the lease pipe as descriptor 3, and the rails as descriptor 4.
func (s *Supervised) start(lease *os.File) (*exec.Cmd, io.Reader, error) {
	rails, err := s.rails.open()
	if err != nil {
		return nil, nil, errors.Join(err, lease.Close())
	}
	defer rails.Close()
	o := Options{Socket: s.socket(), LeaseTime: s.cfg.Lease}
	argv := append(append([]string(nil), s.cfg.Command...), o.arguments(3)...)
	argv = append(argv, "--rails-fd", "4")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "GOTRACEBACK=single")
	cmd.ExtraFiles = []*os.File{lease, rails}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // an interrupt from the terminal is for the agent
	}
	if s.cfg.Keeper != nil {
		cmd.SysProcAttr.Pdeathsig = 0 // the end of the lease pipe ends it
	}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = StartOrdinary(cmd)
	}
	if closeErr := lease.Close(); err == nil && closeErr != nil {
		s.cfg.Log.Warn("close the lease pipe's reading end", "err", closeErr)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return cmd, stderr, nil
}

// attend waits for the end of the process, kills one that does not answer, and ends one in order when ctx does.
func (s *Supervised) attend(ctx context.Context, p *os.Process, gone <-chan error) error {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	var late patience
	kill := func() error {
		if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			s.cfg.Log.Error("kill the BGP speaker process", "err", err)
		}
		return <-gone
	}
	for {
		select {
		case err := <-gone:
			return err
		case <-ctx.Done():
			s.drop()
			s.pipe.close()
			select {
			case err := <-gone:
				return err
			case <-time.After(lastWord):
				return kill()
			}
		case <-check.C:
			release := s.bar() // a process that nobody may ask owes no answer
			why := late.check(s.client.Answers(), s.client.Debt())
			if why != "" {
				err := kill()
				release()
				return fmt.Errorf("%s: %w", why, err)
			}
			release()
		}
	}
}

// patience decides when a process has kept us waiting for too long. It counts checks instead of time: while this process
// is stopped, or the machine sleeps, nobody checks, and a process that was not heard meanwhile is not to blame.
type patience struct {
	answers, debt  uint64
	silent, unpaid int // checks since the last answer, and with the same debt
}

// check takes what gobgp.Client's Answers and Debt say, every checkEvery. It returns why the process has to go, or "".
func (p *patience) check(answers, debt uint64) string {
	p.silent++
	if answers != p.answers {
		p.answers, p.silent = answers, 0
	}
	unpaid := p.owes(debt, confirms)
	switch {
	case p.silent > int(hangs/checkEvery):
		return fmt.Sprintf("did not answer for %v", hangs)
	case unpaid:
		return fmt.Sprintf("did not confirm a withdrawal within %v", confirms)
	default:
		return ""
	}
}

// owes is check for the debt alone: it reports whether it has been there for so long.
func (p *patience) owes(debt uint64, long time.Duration) bool {
	p.unpaid++
	if debt != p.debt {
		p.debt, p.unpaid = debt, 0
	}
	return debt != 0 && p.unpaid >= int(long/checkEvery)
}

// died is the end of a process in words.
func died(err error, lastWords string) error {
	switch {
	case lastWords != "":
		return fmt.Errorf("%s (%w)", lastWords, err)
	case err != nil:
		return err
	default:
		return errors.New("ended by itself")
	}
}

// listen carries the process's log into ours and its reasons for trouble to the client. It returns what the process
// said last that was not log: why it panicked, or what it complained of before it ended.
func (s *Supervised) listen(stderr io.Reader) (lastWords string) {
	in := bufio.NewReaderSize(stderr, 16<<10)
	panicked := false
	for {
		line, tooLong, err := in.ReadLine()
		if err != nil {
			return lastWords
		}
		if tooLong || s.relay(line) {
			continue
		}
		text := strings.TrimSpace(string(line))
		s.cfg.Log.Debug("BGP speaker process", "line", text)
		if text == "" || panicked {
			continue // goroutines follow
		}
		lastWords = text
		panicked = strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ")
	}
}

// relay takes one record of the process's log over; false: it is none.
func (s *Supervised) relay(line []byte) bool {
	var r map[string]any
	if json.Unmarshal(line, &r) != nil {
		return false
	}
	msg, _ := r[slog.MessageKey].(string)
	if msg == troubleMessage {
		text, _ := r["peer"].(string)
		reason, _ := r["reason"].(string)
		if peer, err := netip.ParseAddr(text); err == nil {
			s.client.Blame(peer, reason)
		}
	}
	var level slog.Level
	if text, _ := r[slog.LevelKey].(string); level.UnmarshalText([]byte(text)) != nil {
		return false
	}
	attrs := make([]slog.Attr, 0, len(r))
	for k, v := range r {
		if k != slog.MessageKey && k != slog.LevelKey && k != slog.TimeKey {
			attrs = append(attrs, slog.Any(k, v))
		}
	}
	sort.Slice(attrs, func(i, j int) bool { return attrs[i].Key < attrs[j].Key })
	s.cfg.Log.LogAttrs(context.Background(), level, msg, attrs...)
	return true
}
