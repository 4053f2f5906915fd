package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorder is a script that appends one line a call to a file: as whom it runs, where, a sum of its environment, and its
// arguments.
const recorder = `l=$(
	printf 'uid=%s gid=%s groups=%s env=%s cwd=%s ' "$(id -u)" "$(id -g)" "$(id -G | tr ' ' ,)" \
		"$(env | grep -Ev '^(PWD|OLDPWD|SHLVL|_|FAILOVERD_[A-Z_]*)=' | sort | cksum | tr ' ' -)" "$(pwd)"
	for a; do printf '[%s]' "$a"; done
)
printf '%s\n' "$l" >>DIR/calls
`

// calls returns what the recorder was called with. The directory is left out: it is / here, and for keepalived, unless it
// goes into the background, where it was started.
func (s *side) calls() (calls []string) {
	s.t.Helper()
	for l := range strings.Lines(s.get("calls")) {
		before, rest, _ := strings.Cut(strings.TrimSuffix(l, "\n"), " cwd=")
		cwd, args, _ := strings.Cut(rest, " ")
		if s.agent != nil && cwd != "/" {
			s.t.Errorf("a script runs in %s", cwd)
		}
		calls = append(calls, before+" "+args)
	}
	return calls
}

// fifoReader reads a FIFO from before it is written to.
type fifoReader struct {
	mu   sync.Mutex
	file *os.File
	text []byte
}

// reader makes a FIFO in the side's directory and reads it.
func (s *side) reader(name string) *fifoReader {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, unix.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	must(s.t, err)
	r := &fifoReader{file: f}
	var done sync.WaitGroup
	done.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := f.Read(b)
			r.mu.Lock()
			r.text = append(r.text, b[:n]...)
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	s.t.Cleanup(func() {
		_ = f.Close()
		done.Wait()
	})
	return r
}

func (r *fifoReader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

// told waits until a FIFO has said a line a number of times.
func (r *fifoReader) told(t *testing.T, line string, times int) {
	t.Helper()
	waitFor(t, 5*time.Second, fmt.Sprintf("%q for time %d", line, times), func() bool { return strings.Count(r.String(), line+"\n") >= times })
}

// TestNotifyStory lets both programs live through all transitions with the same text, and compares what their scripts and
// FIFOs are told, word by word and line by line.
func TestNotifyStory(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 2)
	text := lines("global_defs {", "    script_user nobody nogroup", "    notify_fifo DIR/all nobody nogroup", "    vrrp_notify_fifo DIR/vrrp", "}") +
		trackFile("num", "num") +
		solo(1, 100, "track_file {", "    num weight 1", "}", "notify_priority_changes on",
			`notify_master "DIR/record master 'two words' "`, `notify_backup "DIR/record backup $HOME a\\b \"quoted\" *"`,
			"notify_fault DIR/record", `notify_stop "DIR/record stop" root root`, `notify_master_rx_lower_pri "DIR/record rival"`,
			`notify "DIR/record any"`) +
		lines("vrrp_sync_group G {", "    group {", "        V2", "        V3", "    }", `    notify "DIR/record group"`,
			`    notify_master "DIR/record same"`, `    notify_backup "DIR/record group-backup"`, `    notify_fault "DIR/record group-fault"`, "}") +
		strings.ReplaceAll(solo(2, 100, `notify_master "DIR/record same"`, `notify_backup "DIR/record own-backup"`,
			`notify_fault "DIR/record own-fault"`, `notify "DIR/record any"`), "eth0", "eth1") +
		strings.ReplaceAll(solo(3, 100, `notify "DIR/record group"`, `notify_fault "DIR/record own-fault"`), "eth0", "eth1")

	fifos := map[*side][2]*fifoReader{}
	w.each(func(s *side) {
		s.program("record", recorder)
		s.put("calls", "")
		s.put("num", "0\n")
		must(t, os.Chmod(filepath.Join(s.dir, "calls"), 0o666))
		fifos[s] = [2]*fifoReader{s.reader("all"), s.reader("vrrp")}
	})
	w.start(text)
	told := func(line string, times int) {
		t.Helper()
		w.each(func(s *side) { fifos[s][0].told(t, line, times) })
	}
	told(`GROUP "G" MASTER 0`, 1)
	told(`INSTANCE "V1" MASTER 100`, 1)
	w.each(func(s *side) { s.put("num", "5\n") })
	told(`INSTANCE "V1" MASTER_PRIORITY 105`, 1)
	w.each(func(s *side) { s.hear(1, 90) })
	told(`INSTANCE "V1" MASTER_RX_LOWER_PRI 105`, 1)
	w.each(func(s *side) { s.hear(1, 200) })
	told(`INSTANCE "V1" BACKUP 105`, 1)
	w.each(func(s *side) { s.put("num", "1\n") })
	told(`INSTANCE "V1" BACKUP_PRIORITY 101`, 1)
	told(`INSTANCE "V1" MASTER 101`, 1)
	w.each(func(s *side) { must(t, s.ports[0].Unplug()) })
	told(`INSTANCE "V1" FAULT 101`, 1)
	w.each(func(s *side) { must(t, s.ports[0].Replug()) })
	told(`INSTANCE "V1" MASTER 101`, 2)
	w.each(func(s *side) { must(t, s.ports[1].Unplug()) })
	told(`GROUP "G" FAULT 0`, 1)
	w.each(func(s *side) { must(t, s.ports[1].Replug()) })
	told(`GROUP "G" MASTER 0`, 2)
	w.each(func(s *side) {
		_, err := s.proc.Stop(6 * time.Second)
		must(t, err)
	})
	told(`GROUP "G" STOP 0`, 1)
	waitFor(t, 3*time.Second, "the last scripts", func() bool {
		return strings.Count(w.sides[0].get("calls"), "[STOP]") >= 3 && strings.Count(w.sides[1].get("calls"), "[STOP]") >= 3
	})
	time.Sleep(slack)

	ours, theirs := w.sides[0], w.sides[1]
	for i, name := range []string{"notify_fifo", "vrrp_notify_fifo"} {
		a, b := unordered(fifos[ours][i].String()), unordered(fifos[theirs][i].String())
		if a != b {
			t.Errorf("%s, failoverd:\n%s\nkeepalived:\n%s", name, a, b)
		}
	}
	a, b := ours.calls(), theirs.calls()
	checkOrder(t, a)
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Errorf("scripts, failoverd:\n%s\nkeepalived:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	if !strings.Contains(a[0], "uid=0 gid=0 groups=0 ") || !strings.HasSuffix(a[0], "[stop]") || len(a) != 46 {
		t.Errorf("%d calls, the first one %s", len(a), a[0])
	}
}

// unordered puts lines of one state that follow one another into an order: who is told first is left to chance.
func unordered(text string) string {
	all := strings.SplitAfter(text, "\n")
	state := func(l string) string { return strings.Fields(l)[2] }
	all = all[:len(all)-1]
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && state(all[j]) == state(all[i]) {
			j++
		}
		slices.Sort(all[i:j])
		i = j
	}
	return strings.Join(all, "")
}

// checkOrder asserts the order of V1's scripts: that of its transitions, and first the state's own, then the one for all.
func checkOrder(t *testing.T, calls []string) {
	t.Helper()
	var got []string
	for _, c := range calls {
		_, args, _ := strings.Cut(c, " [")
		word, rest, _ := strings.Cut(strings.TrimSuffix(args, "]"), "]")
		switch word {
		case "backup", "master", "rival", "stop":
			got = append(got, word)
		case "":
			got = append(got, "fault")
		case "any":
			if strings.HasPrefix(rest, "[INSTANCE][V1][") {
				got = append(got, strings.TrimPrefix(rest, "[INSTANCE][V1]["))
			}
		}
	}
	want := "backup BACKUP][100 master MASTER][100 rival backup BACKUP][105 master MASTER][101 " +
		"fault FAULT][101 backup BACKUP][101 master MASTER][101 stop STOP][101"
	if strings.Join(got, " ") != want {
		t.Errorf("the scripts of V1: %q\nwant %q", strings.Join(got, " "), want)
	}
}

// words is a command and what its script gets, from both programs or, if bare, from failoverd only: keepalived 2.2.7 runs a
// check that stands without quotes without its arguments.
type words struct {
	command, want string
	bare          bool
}

// TestNotifyWords: how a command of the configuration becomes the words that the script gets. NN is its number.
func TestNotifyWords(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 1)
	notify := []words{
		{`"DIR/args NN plain words"`, `[plain][words]`, false},
		{`"DIR/args NN 'single quoted' \"double quoted\""`, `[single quoted][double quoted]`, false},
		{`"DIR/args NN a'b c'd"`, `[ab cd]`, false},
		{`"DIR/args NN back\slash"`, `[backslash]`, false},
		{`"DIR/args NN back\\slash"`, `[backslash]`, false},
		{`"DIR/args NN back\\\\slash"`, `[back\slash]`, false},
		{`"DIR/args NN tab\there"`, `[tab][here]`, false},
		{`"DIR/args NN tab\\there"`, "[tab\there]", false},
		{`"DIR/args NN 'single \t here'"`, "[single \t here]", false},
		{`"DIR/args NN x\ y"`, `[x][y]`, false},
		{`"DIR/args NN # no comment ! neither"`, `[#][no][comment][!][neither]`, false},
		{`"DIR/args NN $HOME ~ * ? | > & ; (a) {b}"`, `[$HOME][~][*][?][|][>][&][;][(a)][{b}]`, false},
		{`"DIR/args NN ''"`, `[]`, false},
		{`"DIR/args NN \x41\102\cA."`, "[AB\x01.]", false},
		{`"DIR/args NN    many   blanks   "`, `[many][blanks]`, false},
		{`"DIR/args NN café"`, `[café]`, false},
		{`"DIR/args NN a=b --long=\"x y\" -s"`, `[a=b][--long=x y][-s]`, false},
		{`'DIR/args NN outer single'`, `[outer][single]`, false},
		{`"DIR/args NN %s %d %%"`, `[%s][%d][%%]`, false},
		{`"'DIR/args' NN quoted program"`, `[quoted][program]`, false},
		{`"DIR/args NN \"a'b\" 'c\"d'"`, `[a'b][c"d]`, false},
		{`"DIR/args NN \\\"x\\\""`, `["x"]`, false},
		{`"DIR/args NN" root root`, ``, false},
	}
	checks := []words{
		{`"DIR/args NN a\tb"`, `[a][b]`, false},
		{`"DIR/args NN 'a\tb'"`, "[a\tb]", false},
		{`"DIR/args NN 'a\\.b'"`, `[a.b]`, false},
		{`'DIR/args NN x'`, `[x]`, false},
		{`DIR/args NN bare words`, `[bare][words]`, true},
		{`DIR/args NN 'single quoted' "double quoted" x`, `[single quoted][double quoted][x]`, true},
		{`DIR/args NN a'b c'd e"f g"h`, `[ab cd][ef gh]`, true},
		{`"DIR/args" NN x`, `[x]`, true},
	}
	text := lines("global_defs {", "    script_user root", "}")
	number := func(i int, c string) string { return strings.ReplaceAll(c, "NN", fmt.Sprint(i)) }
	for i, c := range checks {
		text += lines(fmt.Sprintf("vrrp_script s%d {", i), "    script "+number(100+i, c.command), "}")
		text += solo(100+i, 100, "track_script {", fmt.Sprintf("        s%d weight 1", i), "}")
	}
	for i, c := range notify {
		text += solo(1+i, 100, "notify_backup "+number(1+i, c.command))
	}
	w.each(func(s *side) {
		s.program("args", `n=$1; shift; for a; do printf '[%s]' "$a"; done >DIR/args.new$n; mv DIR/args.new$n DIR/args.$n`)
	})
	w.start(text)
	w.each(func(s *side) {
		check := func(i int, c words) {
			name := fmt.Sprintf("args.%d", i)
			if c.bare && s.agent == nil {
				if got := s.get(name); got != "" {
					t.Errorf("%s: %s got %q: it runs bare commands with arguments after all", c.command, s.name, got)
				}
				return
			}
			waitFor(t, 5*time.Second, s.name+" to run "+c.command, func() bool { return exists(filepath.Join(s.dir, name)) })
			if got := s.get(name); got != c.want {
				t.Errorf("%s: %s got %q, want %q", c.command, s.name, got, c.want)
			}
		}
		for i, c := range checks {
			check(100+i, c)
		}
		for i, c := range notify {
			check(1+i, c)
		}
	})
}

// TestNotifyHangs: a notify script that hangs, with children that ignore SIGTERM, and fifty transitions in a row change
// nothing about the election, leave no zombies, lose no last state, and nothing outlives the agent.
func TestNotifyHangs(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 1)
	s := w.sides[0]
	s.program("hangs", "trap '' TERM\n[ \"$1\" = child ] || \"$0\" child &\nwhile :; do sleep 1; done\n")
	s.program("slow", "sleep 0.05\nprintf '%s %s\\n' \"$3\" \"$4\" >>DIR/slow.log\n")
	s.put("flag", "0")
	text := lines("global_defs {", "    script_user root", "    vrrp_notify_fifo DIR/fifo", "}") + trackFile("flag", "flag") +
		solo(1, 100, `notify "DIR/hangs"`) +
		solo(2, 100, `notify "DIR/slow"`, "track_file {", "    flag", "}") +
		solo(3, 100)
	fifo := s.reader("fifo")
	s.start(text)
	fifo.told(t, `INSTANCE "V2" MASTER 100`, 1)
	fifo.told(t, `INSTANCE "V3" MASTER 100`, 1)
	begin := time.Now()
	for i := range 51 {
		s.put("flag", fmt.Sprint((i+1)%2))
		state := []string{"FAULT", "BACKUP"}[i%2]
		fifo.told(t, fmt.Sprintf(`INSTANCE "V2" %s 100`, state), i/2+1+i%2)
	}
	t.Logf("51 transitions in %v", time.Since(begin).Round(time.Millisecond))
	waitFor(t, 5*time.Second, "the last state", func() bool { return strings.HasSuffix(s.get("slow.log"), "FAULT 100\n") })
	if strings.Contains(s.get("slow.log"), "FAULT 100\nFAULT 100\n") {
		t.Logf("states were left out, as %d scripts of 51 ran", strings.Count(s.get("slow.log"), "\n"))
	}
	time.Sleep(500 * time.Millisecond)
	z := zombies(t, s.proc.PID())
	for _, kid := range childrenByScan(t, s.proc.PID()) { // the agent, and what its scripts have left behind
		pid, err := strconv.Atoi(kid)
		must(t, err)
		z += zombies(t, pid)
	}
	if z != 0 {
		t.Errorf("%d zombies", z)
	}
	if n := running(t, filepath.Join(s.dir, "hangs")); n != 2 {
		t.Errorf("%d processes of the script that hangs, want it and its child", n)
	}
	end := time.Now()
	for _, vrid := range []uint8{1, 3} {
		s.steady(vrid, begin, end)
	}
	stop := time.Now()
	must(t, s.proc.Signal(unix.SIGTERM))
	waitFor(t, time.Second, "priority 0", func() bool { return !s.firstAt(1, 0, stop).IsZero() && !s.firstAt(3, 0, stop).IsZero() })
	_, err := s.proc.Wait(15 * time.Second)
	must(t, err)
	t.Logf("the agent ended after %v", time.Since(stop).Round(time.Millisecond))
	if n := running(t, s.dir); n > 0 {
		t.Errorf("%d processes of its scripts outlive the agent", n)
	}
}

// steady asserts that a VRID advertises every 0.2 s.
func (s *side) steady(vrid uint8, from, to time.Time) {
	s.t.Helper()
	last := from
	var worst time.Duration
	for _, p := range s.seen.Packets() {
		if p.VRRP != nil && p.VRRP.VRID == vrid && p.At.After(from) && p.At.Before(to) {
			worst = max(worst, p.At.Sub(last))
			last = p.At
		}
	}
	worst = max(worst, to.Sub(last))
	if worst > 200*time.Millisecond+slack {
		s.t.Errorf("VRID %d: %v between two advertisements", vrid, worst)
	}
	s.t.Logf("VRID %d: at most %v between two advertisements", vrid, worst.Round(time.Millisecond))
}

// zombies counts the children of a process that have ended and that it has not taken note of.
func zombies(t *testing.T, pid int) (n int) {
	t.Helper()
	for _, kid := range childrenByScan(t, pid) {
		b, err := os.ReadFile("/proc/" + kid + "/stat")
		if i := strings.LastIndexByte(string(b), ')'); err == nil && i > 0 && strings.HasPrefix(string(b[i:]), ") Z") {
			n++
		}
	}
	return n
}
