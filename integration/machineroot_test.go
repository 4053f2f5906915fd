package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// machineEnv makes this program the first process of a machine instead of a test: the cgroup that the machine has.
const machineEnv = "FAILOVERD_LAB_MACHINE"

// cannotBoot is the exit status of a first process that could not prepare the machine.
const cannotBoot = 77

// systemdPath is the service manager.
const systemdPath = "/usr/lib/systemd/systemd"

// targets are the units of Debian that a machine has: nothing that would start a program, mount or load anything.
var targets = []string{
	"basic", "emergency", "exit", "final", "halt", "local-fs", "local-fs-pre", "multi-user", "network", "network-online", "network-pre",
	"nss-user-lookup", "paths", "poweroff", "reboot", "rescue", "shutdown", "slices", "sockets", "swap", "sysinit", "time-set", "time-sync",
	"timers", "umount",
}

// becomeSystemd gives this process, the first one of a process namespace with a mount namespace of its own, a cgroup and a
// root of its own, and executes systemd. It returns only when that cannot be done.
func becomeSystemd(group string) int {
	runtime.LockOSThread() // who executes is who has the namespaces
	root, err := buildRoot(group)
	if err == nil {
		err = enterRoot(root)
	}
	if err == nil {
		argv := []string{systemdPath, "--unit=multi-user.target", "--show-status=no", "--default-standard-output=null"}
		err = unix.Exec(systemdPath, argv, []string{"container=other", "PATH=/usr/sbin:/usr/bin", "SYSTEMD_LOG_TARGET=console"})
	}
	fmt.Fprintln(os.Stderr, "boot:", err)
	return cannotBoot
}

// mounting collects the first error of many steps, the rest of which are then left out.
type mounting struct {
	root string
	err  error
}

func (m *mounting) step(what string, f func() error) {
	if m.err == nil {
		if err := f(); err != nil {
			m.err = fmt.Errorf("%s: %w", what, err)
		}
	}
}

// mount mounts something at a path of the root, which is made if need be.
func (m *mounting) mount(source, path, kind string, flags uintptr, data string) {
	target := filepath.Join(m.root, path)
	m.step("mount "+kind+" "+path, func() error {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		return unix.Mount(source, target, kind, flags, data)
	})
}

func (m *mounting) file(path, text string) {
	m.step("write "+path, func() error {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(m.root, path)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(m.root, path), []byte(text), 0o644)
	})
}

// copied copies a file of this machine; one that is not there is left out.
func (m *mounting) copied(path string) {
	b, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		m.step("copy", func() error { return err })
		m.file(path, string(b))
	}
}

// buildRoot returns a directory with a small system in it: the programs of this machine, in a layer over which the machine
// may write, and nothing of its configuration.
func buildRoot(group string) (string, error) {
	m := &mounting{}
	m.step("keep mounts private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") })
	m.step("join "+group, func() error { return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0) })
	m.step("make a cgroup namespace", func() error { return unix.Unshare(unix.CLONE_NEWCGROUP) })
	// Nobody else sees what is mounted over this directory.
	const root = "/mnt"
	m.mount("tmpfs", root, "tmpfs", 0, "mode=755,size=256m")
	m.root = root
	for _, dir := range []string{"usr", "layer/upper", "layer/work", "old", "root", "home", "var/log", "var/tmp"} {
		m.step("make "+dir, func() error { return os.MkdirAll(filepath.Join(root, dir), 0o755) })
	}
	m.mount("overlay", "/usr", "overlay", 0, "lowerdir=/usr,upperdir=/mnt/layer/upper,workdir=/mnt/layer/work")
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		m.step("link "+name, func() error { return os.Symlink("usr/"+name, filepath.Join(root, name)) })
	}
	m.copied("/etc/ld.so.cache")
	m.copied("/etc/os-release")
	m.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	m.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")
	m.file("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
	m.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
	m.units()
	m.kernel()
	return root, m.err
}

// units has the machine start nothing but what is installed later.
func (m *mounting) units() {
	const dir = "/usr/lib/systemd/system"
	m.mount("tmpfs", dir, "tmpfs", 0, "mode=755")
	for _, name := range targets {
		// The root's own directory is covered now, this machine's is not.
		m.copied(dir + "/" + name + ".target")
	}
	m.mount("tmpfs", "/usr/lib/systemd/system-generators", "tmpfs", 0, "mode=755")
	m.mount("tmpfs", "/usr/lib/sysusers.d", "tmpfs", 0, "mode=755")
}

// kernel mounts what comes from the kernel. Of its settings only those of the network can be written: they are this node's
// own.
func (m *mounting) kernel() {
	m.mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	m.mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	m.mount("tmpfs", "/dev", "tmpfs", unix.MS_NOSUID, "mode=755")
	m.step("make /dev/shm", func() error { return os.Mkdir(filepath.Join(m.root, "dev/shm"), 0o777) })
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		path := "/dev/" + name
		m.file(path, "")
		m.step("bind "+path, func() error { return unix.Mount(path, m.root+path, "", unix.MS_BIND, "") })
	}
	m.mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	m.mount(m.root+"/proc/sys", "/proc/sys", "", unix.MS_BIND, "")
	m.mount(m.root+"/proc/sys/net", "/proc/sys/net", "", unix.MS_BIND, "")
	m.mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	m.mount("sysfs", "/sys", "sysfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	m.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// enterRoot makes a directory the root, and leaves nothing of the old one.
func enterRoot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "old"); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	return unix.Dup2(int(null.Fd()), 0)
}
