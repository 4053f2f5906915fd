// Command impostor is what upgrade labs have take over from a failoverd and what cannot: how it fails, its file's name says.
// FILE.next is the failoverd that answers for it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	asked := len(os.Args) > 1 && (os.Args[1] == "handover-version" || os.Args[1] == "check")
	switch name := filepath.Base(self); {
	case name == "other":
		fmt.Println("hello")
	case name == "older":
		fmt.Println(`{"program":"failoverd","version":"0.1","formats":{"link":0}}`)
	case asked:
		panic(syscall.Exec(self+".next", os.Args, os.Environ()))
	case name == "dies":
		os.Exit(3)
	case name == "sleeps":
		time.Sleep(time.Minute)
	}
}
