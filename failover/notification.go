package failover

import (
	"failoverd/vrrp"
)

// NotifyConfig holds what is to be told about the roles of a router or a sync group (notify_*).
type NotifyConfig struct {
	// Master, Backup, Fault, Stop and Deleted are run as they stand on entering that state; nil: nothing is run.
	Master, Backup, Fault, Stop, Deleted *Command
	// RivalHeard is run when an Active router hears a lower priority (notify_master_rx_lower_pri).
	RivalHeard *Command
	// Any is run with the arguments TYPE NAME STATE PRIORITY appended.
	Any *Command
	// DeletedWord says DELETED instead of FAULT when a reload removes the router.
	DeletedWord bool
	// PriorityChanges tells FIFOs of changes of the effective priority, too.
	PriorityChanges bool
}

// FIFOConfig is a notify_fifo or vrrp_notify_fifo.
type FIFOConfig struct {
	Path string
	// User and Group own the FIFO; empty: root.
	User, Group string
	// Script is run, with the path of the FIFO appended, for as long as the agent runs; nil: none.
	Script *Command
}

// Notification tells of one transition: keepalived's words for it.
type Notification struct {
	// Group and Service: it is of a sync group, or of an anycast service; neither: of an instance.
	Group, Service bool
	Name           string
	// State is, of an anycast service, one of its states, STOP or DELETED; otherwise it is MASTER, BACKUP, FAULT, STOP, DELETED, MASTER_RX_LOWER_PRI, MASTER_PRIORITY or BACKUP_PRIORITY.
	State string
	// Priority is the effective one; 0 for a group and for a service.
	Priority uint8
	// Commands are those of its configuration at that time: never nil, read only.
	Commands *NotifyConfig
	// Quiet: the state is told to FIFOs only; no command is run (a reload makes FIFOs anew).
	Quiet bool
	At    vrrp.Instant
}

// Type returns INSTANCE, GROUP or SERVICE.
func (n *Notification) Type() string {
	switch {
	case n.Group:
		return "GROUP"
	case n.Service:
		return "SERVICE"
	}
	return "INSTANCE"
}
