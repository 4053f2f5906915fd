package main

import (
	"fmt"
	"strings"
	"syscall"
)

// signalNames are the words of keepalived's --signum, in the order in which its help has them.
var signalNames = []struct {
	name   string
	signal syscall.Signal
}{
	{"STOP", syscall.SIGTERM},
	{"RELOAD", syscall.SIGHUP},
	{"DATA", syscall.SIGUSR1},
	{"STATS", syscall.SIGUSR2},
	{"JSON", sigJSON},
}

// signum prints the number of the signal that does what the word says. (keepalived stops on SIGTERM and SIGINT, and so
// does failoverd.)
func (p *program) signum(word string) error {
	var known []string
	for _, s := range signalNames {
		if s.name == word {
			_, err := fmt.Fprintln(p.stdout, int(s.signal))
			return outputError(err)
		}
		known = append(known, s.name)
	}
	return &exitError{exitFatal, fmt.Errorf("option --signum: %q is none of %s", word, strings.Join(known, ", "))}
}
