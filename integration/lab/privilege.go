package lab

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that a lab takes: namespaces, links and addresses, packet sockets.
var needed = []struct {
	bit  uint
	name string
}{
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_NET_RAW, "CAP_NET_RAW"},
}

// Privileged returns nil when this process may build a lab, and otherwise an error that names what it lacks.
func Privileged() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	var missing []string
	for _, c := range needed {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("network namespaces need %s: run as root, or as a user who may create user namespaces",
			strings.Join(missing, ", "))
	}
	return nil
}

// obstacles are the switches by which distributions keep ordinary users from user namespaces.
var obstacles = []struct{ file, bad, text string }{
	{
		"/proc/sys/kernel/unprivileged_userns_clone", "0",
		"the sysctl kernel.unprivileged_userns_clone is 0",
	},
	{
		"/proc/sys/user/max_user_namespaces", "0",
		"the sysctl user.max_user_namespaces is 0",
	},
	{
		"/proc/sys/user/max_net_namespaces", "0",
		"the sysctl user.max_net_namespaces is 0",
	},
	{
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
		"AppArmor restricts user namespaces (the sysctl kernel.apparmor_restrict_unprivileged_userns is 1)",
	},
}

// obstacle says in words why err came of an attempt to create a user namespace. read is os.ReadFile.
func obstacle(err error, read func(string) ([]byte, error)) error {
	var found []string
	for _, o := range obstacles {
		if b, e := read(o.file); e == nil && strings.TrimSpace(string(b)) == o.bad {
			found = append(found, o.text)
		}
	}
	if len(found) == 0 {
		if _, e := read("/proc/self/ns/user"); os.IsNotExist(e) {
			found = append(found, "this kernel has no user namespaces (CONFIG_USER_NS)")
		} else {
			found = append(found, "perhaps a container runtime or a security module forbids it")
		}
	}
	return fmt.Errorf("this user may not create a user namespace: %w: %s; run as root instead", err, strings.Join(found, "; "))
}
