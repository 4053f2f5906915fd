package failover

import (
	"net/netip"
	"time"
)

// TrackerKind says what is tracked.
type TrackerKind uint8

// Kinds of trackers.
const (
	TrackInterface TrackerKind = iota // track_interface: up or not
	TrackScript                       // track_script: succeeds or fails
	TrackFile                         // track_file: a number
	TrackProcess                      // track_process: enough processes run, or not
	TrackCheck                        // track_check: a health_check
	TrackBGP                          // track_bgp: a speaker has an established session; not reported, SpeakerReported says it
)

// String returns the configuration word.
func (k TrackerKind) String() string {
	return [...]string{"track_interface", "track_script", "track_file", "track_process", "track_check", "track_bgp"}[k]
}

// Tracker names a tracked thing: an interface, or a vrrp_script, track_file, vrrp_track_process, health_check or
// bgp_speaker.
type Tracker struct {
	Kind TrackerKind
	Name string
}

// String returns "track_script NAME" and the like.
func (t Tracker) String() string { return t.Kind.String() + " " + t.Name }

// Track is one line of a track_* block of a router, with the weight that counts there. The lines of a sync group are
// among those of each of its members.
type Track struct {
	Tracker
	// Weight 0: a failure puts the router into FAULT. Otherwise it changes the priority: a positive weight is added
	// while the thing is all right, a negative one while it is not; that of a file is multiplied by the file's number.
	// -254 to 254 for files, -253 to 253 for the others.
	Weight int
	// Reverse turns the effect of the weight around: a success counts as a failure of the opposite sign, as
	// keepalived's "reverse" does; with weight 0, the router is in FAULT while the thing is all right.
	Reverse bool
}

// TrackerReport is what became of a tracked thing: news from package failover/health. Interfaces are not reported
// like this; InterfaceChanged says it, nor are the sessions of speakers, which SpeakerReported tells of.
type TrackerReport struct {
	Tracker Tracker
	// OK: the script succeeded (rise and fall have been counted), or enough processes run. A check that cannot run is
	// not OK.
	OK bool
	// Value is the number in the file; a file is always OK unless it cannot be watched. NoNumber: there is none, because it is
	// missing, empty, or says something else. It counts as 0 then, as with keepalived, and Reason ends with TakenAsZero; a
	// check group takes it for unknown.
	Value    int
	NoNumber bool
	// Reason says in words what was seen: "exit status 1", "timed out after 2s", "no such file".
	Reason string
	// Unknown: a health check cannot tell, because this node cannot look; whoever votes does not say "down" then, and a
	// router counts it as a failure. Since is how long the results that led to the verdict go back.
	Unknown bool
	Since   time.Duration
	// Warning is what a health check has to say besides its verdict; empty: nothing.
	Warning string
}

// TakenAsZero ends the reason of a report of a file without a number.
const TakenAsZero = ", taken as 0"

// TrackerReported is news of a tracked thing.
type TrackerReported struct{ Report TrackerReport }

func (TrackerReported) input() {}

// Command is a program with its arguments, run without a shell.
type Command struct {
	// Args is the program, which is looked for in PATH if its name has no slash, and its arguments.
	Args []string
	// User and Group are names or numbers; empty: keepalived_script if there is such a user, otherwise root; the
	// user's own group.
	User, Group string
}

// CommandUse is a command of the configuration with the place where it stands, so that whoever loads the
// configuration can say which one cannot run.
type CommandUse struct {
	Command Command
	// What names it in messages: "vrrp_script chk", "notify_master of vrrp_instance A".
	What         string
	File         string
	Line, Column int
	// Check: it decides about the role (vrrp_script), so that it must not be missing silently.
	Check bool
}

// InterfaceUse is the name of an interface with the place where it stands, so that whoever knows the host can say that
// there is no such interface.
type InterfaceUse struct {
	Name, File   string
	Line, Column int
}

// FileUse is the path of a file that is read when it is needed, with the place where it stands.
type FileUse struct {
	Path, File   string
	Line, Column int
}

// ScriptConfig is a vrrp_script.
type ScriptConfig struct {
	Name string
	// Command is what to run. If Open is set, there is none: the check is whether that file can be opened for reading
	// (keepalived's script "</path").
	Command Command
	Open    string
	// Interval is from start to start; Timeout is after which a run counts as failed and is killed. At least 10 ms.
	Interval, Timeout time.Duration
	// Rise and Fall are how many equal results in a row change the verdict; at least 1. The first result counts at once.
	Rise, Fall int
	// InitFail: the verdict is a failure until Rise successes.
	InitFail bool
}

// FileConfig is a track_file.
type FileConfig struct {
	Name, Path string
	// Init is written to the file at start if the file is missing, or, with Overwrite, in any case; nil: nothing is.
	Init      *int
	Overwrite bool
}

// ParamMatch says how the arguments of a process are compared.
type ParamMatch uint8

// Ways to compare arguments.
const (
	ParamAny     ParamMatch = iota // arguments do not matter
	ParamExact                     // all arguments, each equal
	ParamInitial                   // the first ones, each equal
	ParamPartial                   // the first ones equal, the last one given being the beginning of what is there
)

// ProcessConfig is a vrrp_track_process.
type ProcessConfig struct {
	Name string
	// Args is the name of the program - compared with the last element of its path if it has no slash - and its
	// arguments, compared as Match says.
	Args  []string
	Match ParamMatch
	// FullCommand compares the whole command line instead of the kernel's name for the process, which has 15 octets.
	FullCommand bool
	// Quorum is the least number of processes, at least 1; QuorumMax the greatest, 0: any.
	Quorum, QuorumMax int
	// ForkDelay and TerminateDelay are how long a change to enough, and to not enough, must last to count.
	ForkDelay, TerminateDelay time.Duration
}

// GroupConfig is a vrrp_sync_group: its members have one role.
type GroupConfig struct {
	Name    string
	Members []string // names of routers
	Notify  NotifyConfig
}

// LinkDelay is how long a change of an interface must last before it counts (interface_up_down_delays).
type LinkDelay struct{ Down, Up time.Duration }

// VMAC asks for the virtual router's own link-layer address (use_vmac): its addresses live on a macvlan interface.
type VMAC struct {
	// Name is that of the macvlan interface, at most 15 octets.
	Name string
	// MAC is 00-00-5E-00-01-VRID, or -02- over IPv6 (RFC 9568 section 7.3), unless configured otherwise.
	MAC [6]byte
	// XmitBase sends advertisements with the address of the base interface instead (vmac_xmit_base).
	XmitBase bool
}

// Device is a macvlan interface that the agent makes and keeps, whatever the role.
type Device struct {
	Name   string
	Parent string
	MAC    [6]byte
	// IPv6: it carries IPv6 addresses. Without, IPv6 is off on it.
	IPv6 bool
}

// MulticastGroups are other groups than the protocol's own (vrrp_mcast_group4, vrrp_mcast_group6); zero: the
// protocol's.
type MulticastGroups struct{ IPv4, IPv6 netip.Addr }
