package notify

import (
	"strconv"

	"failoverd/failover"
)

// Words of notifications that are not states.
const (
	rivalHeard     = "MASTER_RX_LOWER_PRI"
	masterPriority = "MASTER_PRIORITY"
	backupPriority = "BACKUP_PRIORITY"
)

// call is a command with the arguments that a notification adds to it.
type call struct {
	command *failover.Command
	extra   []string
}

// calls returns what is to be run for a notification, in this order: the command for the state, as it stands, and then
// the one for any state, with TYPE NAME STATE PRIORITY. An anycast service that drains still does what it did: that is told to
// the latter only. As with keepalived, a rival is told to a command of its own and
// to no other, and a changed priority to FIFOs only.
func calls(n *failover.Notification) []call {
	c := n.Commands
	var own *failover.Command
	common := c.Any
	switch n.State {
	case "MASTER", failover.ServiceAnnounced, failover.ServiceLast:
		own = c.Master
	case "BACKUP", failover.ServiceWithdrawn:
		own = c.Backup
	case "FAULT":
		own = c.Fault
	case "STOP":
		own = c.Stop
	case "DELETED":
		own = c.Deleted
	case rivalHeard:
		own, common = c.RivalHeard, nil
	case masterPriority, backupPriority:
		common = nil
	}
	var list []call
	if own != nil {
		list = append(list, call{command: own})
	}
	if common != nil {
		list = append(list, call{common, []string{n.Type(), n.Name, n.State, strconv.Itoa(int(n.Priority))}})
	}
	return list
}

// appendLine appends what FIFOs are told: TYPE "NAME" STATE PRIORITY.
func appendLine(b []byte, n *failover.Notification) []byte {
	b = append(b, n.Type()...)
	b = append(b, ' ', '"')
	b = append(b, n.Name...)
	b = append(b, '"', ' ')
	b = append(b, n.State...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(n.Priority), 10)
	return append(b, '\n')
}
