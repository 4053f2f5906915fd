// Package health watches what routers depend on besides their interfaces: scripts (vrrp_script), services and paths
// (health_check), numbers in files (track_file) and processes (vrrp_track_process). It says what it sees as values, failover.TrackerReport; what they
// mean for a router is decided in package failover.
//
// Whatever cannot be checked has failed, with a reason; nothing that is configured is ever left out.
//
// Goroutines, once Run runs: Run itself delivers reports; one for each script, check and file, and one more while a
// script runs, or a check that waits for more than its own sockets; one in which all other checks look (sweep), whose own ones
// wait for changes only; one for all processes (census), and with it one that waits for the death of processes (obituaries)
// and one for news from the kernel of new ones (newborns); one that waits for changes of files (notices). System calls that
// a dead file server could block for ever have a goroutine each, which is left alone when its time is up.
//
// Read Monitor first, then seat and rounds, which are common to what is checked time after time.
package health

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// Options are what a Monitor needs.
type Options struct {
	// Log takes what people should know besides the reports: at debug level every result and what scripts write, at
	// warn level what is odd in files and what this machine cannot do. nil: nothing is logged.
	Log *slog.Logger
	// Lookup is asked by bgp_route checks, with a context that ends with their timeout; nil: they cannot look.
	Lookup Lookup
}

// Monitor watches all tracked things of a configuration. Its methods may be called from any goroutine; Run once.
type Monitor struct {
	settings settings
	box      *outbox

	mu        sync.Mutex // guards the following
	config    *failover.Config
	crew      *crew // nil unless Run runs
	scripts   map[string]*scriptCheck
	checks    map[string]*healthCheck
	files     map[string]*fileCheck
	notices   *notices // made for the first file
	sweep     *sweep   // made for the first quick check
	processes *census  // made for the first process
}

// settings are constant after New; tests change them before.
type settings struct {
	log     *slog.Logger
	runner  runner                            // runs a command
	prober  proberFor                         // makes what looks for a health_check
	quick   quickFor                          // makes what looks for it in steps, if it can
	opener  func(path string) error           // checks whether a file can be opened; may block
	reader  func(path string) (string, error) // reads the beginning of a file; may block
	reread  time.Duration                     // between two readings of a file without news of it
	settle  time.Duration                     // for how long a file must be missing or empty to count as that
	patient time.Duration                     // how long a reading may take
	proc    string                            // the process file system
	scan    time.Duration                     // between two looks at new processes
	full    time.Duration                     // between two looks at all processes
	births  bool                              // ask the kernel for news of new processes
	waitEnd time.Duration                     // how long Run waits for its goroutines at the end
}

// New returns a Monitor that watches nothing yet.
func New(o Options) *Monitor {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	lookup := o.Lookup
	if lookup == nil {
		lookup = func(context.Context, string, netip.Prefix) (bgp.Sighting, error) {
			return bgp.Sighting{}, errors.New("is not there")
		}
	}
	return &Monitor{
		settings: settings{
			prober: func(c *failover.CheckConfig) prober { return newProber(c, lookup) }, quick: newQuick,
			log: log, runner: runCommand, opener: canOpen, reader: readStart,
			reread: 5 * time.Second, settle: 100 * time.Millisecond, patient: 5 * time.Second,
			proc: "/proc", scan: 500 * time.Millisecond, full: 5 * time.Second, births: true,
			waitEnd: killGrace + 3*time.Second,
		},
		box:     newOutbox(),
		scripts: make(map[string]*scriptCheck),
		checks:  make(map[string]*healthCheck),
		files:   make(map[string]*fileCheck),
	}
}

// Configure makes cfg what is watched; nil: nothing is. It goes by difference: an object that stays what it was goes on
// undisturbed and is not reported again, and a script whose command is the same keeps its verdict when the rest of it
// changes. Of an object that is gone, or that has become another one of the same name, no report is begun after
// Configure has returned, and its run is killed. Before Run nothing is started. Since a first result is told once, who
// listens must know of the configuration before its reports.
func (m *Monitor) Configure(cfg *failover.Config) {
	if cfg == nil {
		cfg = &failover.Config{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config = cfg
	if m.crew != nil {
		m.apply()
	}
}

// Run watches until ctx ends. Each tracked thing is reported when its first result is there and then when it changes:
// another verdict, another number, or a failure for another reason. The calls of report follow one another; while one
// takes long, the newest report of each thing waits and older ones are dropped.
//
// Run returns nil when ctx has ended and everything that it started has, too, all children killed. An error names what
// did not end in a few seconds.
func (m *Monitor) Run(ctx context.Context, report func(failover.TrackerReport)) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	if m.crew != nil {
		m.mu.Unlock()
		return errors.New("health checks run already")
	}
	m.crew = newCrew(inner)
	if m.config != nil {
		m.apply()
	}
	m.mu.Unlock()

	m.box.deliver(ctx, report)

	cancel()
	m.mu.Lock()
	c := m.crew
	m.clear()
	m.mu.Unlock()
	return c.wait(m.settings.waitEnd)
}

// Describe adds to a list of checks what those of them that run have measured: round trips, losses and damping.
func (m *Monitor) Describe(list []failover.CheckStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range list {
		if h := m.checks[list[i].Name]; h != nil {
			h.describe(&list[i])
		}
	}
}

// clear forgets all objects, whose goroutines have been told to end.
func (m *Monitor) clear() {
	for _, s := range m.scripts {
		s.out.close()
	}
	for _, h := range m.checks {
		h.out.close()
	}
	for _, f := range m.files {
		f.out.close()
	}
	if m.processes != nil {
		m.processes.configure(nil)
	}
	m.crew, m.notices, m.processes, m.sweep = nil, nil, nil, nil
	m.scripts, m.files = make(map[string]*scriptCheck), make(map[string]*fileCheck)
	m.checks = make(map[string]*healthCheck)
}

// apply starts, changes and ends checks until they are those of the configuration.
func (m *Monitor) apply() {
	m.applyScripts()
	m.applyChecks()
	m.applyFiles()
	m.applyProcesses()
}

func (m *Monitor) applyProcesses() {
	switch list := m.config.Processes; {
	case m.processes == nil && len(list) > 0:
		m.processes = newCensus(&m.settings, m.box)
		m.processes.configure(list)
		m.processes.cancel = m.crew.start("track_process", m.processes.loop)
	case m.processes != nil:
		m.processes.configure(list)
		if len(list) == 0 {
			m.processes.cancel()
			m.processes = nil
		}
	}
}

func (m *Monitor) applyScripts() {
	policy := policy{security: m.config.ScriptSecurity, supplementaryGroups: m.config.SupplementaryGroups}
	wanted := make([]scriptParams, len(m.config.Scripts))
	for i := range m.config.Scripts {
		wanted[i] = newScriptParams(&m.config.Scripts[i], policy)
	}
	settle(m.crew, m.scripts, wanted, "vrrp_script", 0,
		func(p scriptParams) (string, time.Duration) { return p.Name, p.Interval },
		func(p scriptParams) *scriptCheck { return newScriptCheck(&m.settings, m.box, p) })
}

func (m *Monitor) applyChecks() {
	wanted := make([]failover.CheckConfig, len(m.config.Checks))
	for i, c := range m.config.Checks {
		wanted[i] = checkParams(c)
	}
	settle(m.crew, m.checks, wanted, "health_check", together,
		func(p failover.CheckConfig) (string, time.Duration) { return p.Name, p.Interval },
		func(p failover.CheckConfig) *healthCheck {
			h := newHealthCheck(&m.settings, m.box, p)
			if h.quick != nil {
				h.sweep = m.sweepOnce()
			}
			return h
		})
}

// sweepOnce returns the sweep, which is begun for the first quick check.
func (m *Monitor) sweepOnce() *sweep {
	if m.sweep == nil {
		m.sweep = newSweep()
		m.crew.start("health checks", m.sweep.run)
	}
	return m.sweep
}

func (m *Monitor) applyFiles() {
	wanted := make(map[string]bool, len(m.config.Files))
	for _, c := range m.config.Files {
		if wanted[c.Name] {
			continue
		}
		wanted[c.Name] = true
		old := m.files[c.Name]
		if old != nil && old.path == c.Path {
			continue // what init_file says mattered when the object was new
		}
		if old != nil {
			old.end()
		}
		f := newFileCheck(&m.settings, m.box, m.noticesOnce(), c)
		m.files[c.Name] = f
		f.cancel = m.crew.start("track_file "+c.Name, f.loop)
	}
	for name, f := range m.files {
		if !wanted[name] {
			f.end()
			delete(m.files, name)
		}
	}
}

// noticesOnce returns the notices, which are opened for the first file.
func (m *Monitor) noticesOnce() *notices {
	if m.notices != nil {
		return m.notices
	}
	n, err := openNotices()
	if err != nil {
		m.settings.log.Warn("changes of files are found by reading them again only", "err", err, "every", m.settings.reread.String())
	} else {
		m.crew.start("file notices", n.loop)
	}
	m.notices = n
	return n
}

// sameCommand reports whether two commands are the same program with the same arguments for the same user.
func sameCommand(a, b failover.Command) bool {
	return a.User == b.User && a.Group == b.Group && slices.Equal(a.Args, b.Args)
}
