package script

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"failoverd/failover"
)

// DefaultUser runs commands whose user is not configured, if there is such a user; otherwise root does.
const DefaultUser = "keepalived_script"

// identity is as whom a command runs.
type identity struct {
	name     string // for messages
	uid, gid uint32
	groups   []uint32 // supplementary ones
}

// member reports whether the identity is in a group.
func (id *identity) member(gid uint32) bool { return id.gid == gid || slices.Contains(id.groups, gid) }

// identities remembers who is who, because the data base of users may be slow to ask.
var identities = struct {
	sync.Mutex
	known map[identityKey]knownIdentity
}{known: make(map[identityKey]knownIdentity)}

type identityKey struct {
	user, group   string
	supplementary bool
}

type knownIdentity struct {
	identity
	until time.Time
}

// Bounds of what is remembered: changes of users and groups count after identityAge.
const (
	identityAge = 5 * time.Second
	identityMax = 256
)

// identify finds out as whom a command is to run.
func identify(cmd *failover.Command, p Policy) (identity, error) {
	key := identityKey{cmd.User, cmd.Group, p.SupplementaryGroups}
	now := time.Now()
	identities.Lock()
	k, ok := identities.known[key]
	identities.Unlock()
	if ok && now.Before(k.until) {
		return k.identity, nil
	}
	k = knownIdentity{until: now.Add(identityAge)}
	var err error
	if k.identity, err = lookUp(key); err != nil {
		return identity{}, err // the reason may be gone the next time, and who asks again and again is who waits for that
	}
	identities.Lock()
	defer identities.Unlock()
	if len(identities.known) >= identityMax {
		clear(identities.known)
	}
	identities.known[key] = k
	return k.identity, nil
}

func lookUp(key identityKey) (identity, error) {
	id, u, err := lookUpUser(key.user)
	if err != nil {
		return identity{}, err
	}
	switch own := os.Geteuid(); {
	case key.group != "":
		if id.gid, err = lookUpGroup(key.group); err != nil {
			return identity{}, err
		}
	case own != 0 && int64(id.uid) == int64(own):
		id.gid = uint32(os.Getegid()) // whatever the data base says, nothing else is possible
	case u == nil:
		return identity{}, noGroup(key.user)
	}
	id.groups, err = groupsOf(&id, u, key.supplementary)
	if err != nil {
		return identity{}, err
	}
	return id, allowed(&id)
}

func noGroup(name string) error {
	return fmt.Errorf("user %s has no group of its own: it is not in the user data base", name)
}

// lookUpUser finds a user by name or number; a number need not be known, and its user is nil then. An agent that is not
// root has no choice, so a user that is not configured is its own.
func lookUpUser(name string) (identity, *user.User, error) {
	if name == "" {
		if own := os.Geteuid(); own != 0 {
			return identity{name: strconv.Itoa(own), uid: uint32(own)}, nil, nil
		}
		u, err := user.Lookup(DefaultUser)
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			return identity{name: "root"}, &user.User{Username: "root", Uid: "0", Gid: "0"}, nil
		}
		if err != nil {
			return identity{}, nil, fmt.Errorf("look up user %s: %w", DefaultUser, err)
		}
		return fromUser(u)
	}
	u, err := user.Lookup(name)
	if err == nil {
		return fromUser(u)
	}
	number, numberErr := strconv.ParseUint(name, 10, 32)
	if numberErr != nil {
		return identity{}, nil, fmt.Errorf("look up user %s: %w", name, err)
	}
	if u, err = user.LookupId(name); err == nil {
		return fromUser(u)
	}
	return identity{name: name, uid: uint32(number)}, nil, nil
}

func fromUser(u *user.User) (identity, *user.User, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return identity{}, nil, fmt.Errorf("user %s: number %q: %w", u.Username, u.Uid, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return identity{}, nil, fmt.Errorf("user %s: group number %q: %w", u.Username, u.Gid, err)
	}
	return identity{name: u.Username, uid: uint32(uid), gid: uint32(gid)}, u, nil
}

// lookUpGroup finds a group by name or number; a number need not be known.
func lookUpGroup(name string) (uint32, error) {
	text := name
	g, err := user.LookupGroup(name)
	if err == nil {
		text = g.Gid
	}
	gid, numberErr := strconv.ParseUint(text, 10, 32)
	switch {
	case numberErr == nil:
		return uint32(gid), nil
	case err == nil:
		err = numberErr
	}
	return 0, fmt.Errorf("look up group %s: %w", name, err)
}

// groupsOf returns the groups that an identity has besides its own: only that one once more, or, if asked for, all that
// its user is in.
func groupsOf(id *identity, u *user.User, all bool) ([]uint32, error) {
	groups := []uint32{id.gid}
	switch {
	case os.Geteuid() != 0:
		own, err := os.Getgroups() // they cannot be dropped
		if err != nil {
			return nil, fmt.Errorf("look up groups of this process: %w", err)
		}
		for _, g := range own {
			groups = append(groups, uint32(g))
		}
	case all && u != nil:
		texts, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("look up groups of user %s: %w", u.Username, err)
		}
		for _, text := range texts {
			g, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("look up groups of user %s: number %q: %w", u.Username, text, err)
			}
			if !slices.Contains(groups, uint32(g)) {
				groups = append(groups, uint32(g))
			}
		}
	}
	return groups, nil
}

// Owner returns the numbers of a user and a group who are configured as the owners of a file: names or numbers; an empty
// user is root, an empty group the user's own.
func Owner(userName, groupName string) (uid, gid uint32, err error) {
	if userName == "" {
		userName = "0"
	}
	id, u, err := lookUpUser(userName)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case groupName != "":
		id.gid, err = lookUpGroup(groupName)
	case u == nil:
		err = noGroup(userName)
	}
	return id.uid, id.gid, err
}

// allowed says whether this process can run commands as somebody.
func allowed(id *identity) error {
	if os.Geteuid() == 0 || id.is(os.Geteuid(), os.Getegid()) {
		return nil
	}
	return fmt.Errorf("cannot run as user %s, group %d: the agent runs as user %d, group %d and is not root",
		id.name, id.gid, os.Geteuid(), os.Getegid())
}

func (id *identity) is(uid, gid int) bool {
	return int64(id.uid) == int64(uid) && int64(id.gid) == int64(gid)
}
