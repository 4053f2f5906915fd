package lab

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestObstacleNamesTheSwitch(t *testing.T) {
	const generic = "perhaps a container runtime or a security module forbids it"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"Debian's switch", map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}, "kernel.unprivileged_userns_clone is 0"},
		{"the switch is on", map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "1\n", "/proc/self/ns/user": ""}, generic},
		{"no user namespaces left", map[string]string{"/proc/sys/user/max_user_namespaces": "0\n"}, "user.max_user_namespaces is 0"},
		{"no network namespaces left", map[string]string{"/proc/sys/user/max_net_namespaces": "0\n"}, "user.max_net_namespaces is 0"},
		{"Ubuntu's AppArmor", map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, "AppArmor"},
		{"nothing known", map[string]string{"/proc/self/ns/user": ""}, generic},
		{"a kernel without them", nil, "CONFIG_USER_NS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := obstacle(syscall.EPERM, func(name string) ([]byte, error) {
				if v, ok := c.files[name]; ok {
					return []byte(v), nil
				}
				return nil, os.ErrNotExist
			})
			if !strings.Contains(err.Error(), c.want) || !strings.HasSuffix(err.Error(), "run as root instead") {
				t.Errorf("%q, want %q in it", err, c.want)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       procEntry
		ok         bool
	}{
		{"ordinary", "7 (sh) S 1 7 6 34816 7 4194304", procEntry{7, 1, 7, 6, 34816, false}, true},
		{"a name that looks like the rest", "7 (a) S 9 9 (b) R 1 2 3 0 5", procEntry{7, 1, 2, 3, 0, false}, true},
		{"a zombie", "7 (sh) Z 1 7 6 0 -1", procEntry{7, 1, 7, 6, 0, true}, true},
		{"cut short", "7 (sh) S 1", procEntry{}, false},
		{"no name", "7", procEntry{}, false},
		{"empty", "", procEntry{}, false},
		{"not numbers", "7 (sh) S x y z w", procEntry{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := parseStat(7, c.text); got != c.want || ok != c.ok {
				t.Errorf("%+v %t, want %+v %t", got, ok, c.want, c.ok)
			}
		})
	}
}
