// Command interop-peer drives one of the Go multiplexers from the outside: JSON commands come in on standard input, JSON
// events and replies go out on standard output, one object a line.
//
//	interop-peer IMPLEMENTATION dial|listen HOST:PORT [key=value ...]
//
// The README beside this folder describes commands, services and options.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// object is what goes out as one line.
type object map[string]any

var outputLock sync.Mutex

// say writes one line to standard output.
func say(o object) {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	outputLock.Lock()
	defer outputLock.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

// options are the key=value arguments; a key that nobody asked for is an error.
type options struct {
	values map[string]string
	asked  map[string]bool
}

func parseOptions(arguments []string) (*options, error) {
	o := &options{values: map[string]string{}, asked: map[string]bool{}}
	for _, argument := range arguments {
		key, value, found := strings.Cut(argument, "=")
		if !found {
			return nil, fmt.Errorf("not key=value: %q", argument)
		}
		o.values[key] = value
	}
	return o, nil
}

// number gives an integer option, or what is there by default.
func (o *options) number(key string, otherwise int) int {
	o.asked[key] = true
	text, found := o.values[key]
	if !found {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		fail(fmt.Errorf("option %s: %w", key, err))
	}
	return n
}

// duration gives an option in milliseconds.
func (o *options) duration(key string, otherwise time.Duration) time.Duration {
	return time.Duration(o.number(key, int(otherwise/time.Millisecond))) * time.Millisecond
}

func (o *options) unknown() []string {
	var names []string
	for key := range o.values {
		if !o.asked[key] {
			names = append(names, key)
		}
	}
	return names
}

func fail(err error) {
	say(object{"event": "failed", "error": err.Error()})
	os.Exit(2)
}

// moduleVersion is the version of a module that this binary was linked with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return "unknown"
}

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: interop-peer IMPLEMENTATION dial|listen HOST:PORT [key=value ...]"))
	}
	implementation, mode, address := os.Args[1], os.Args[2], os.Args[3]
	chosen, err := parseOptions(os.Args[4:])
	if err != nil {
		fail(err)
	}
	build, found := implementations[implementation]
	if !found {
		fail(fmt.Errorf("unknown implementation %q", implementation))
	}
	p := newPeer(chosen)

	var carrier net.Conn
	switch mode {
	case "dial":
		carrier, err = net.Dial("tcp", address)
	case "listen":
		var listener net.Listener
		listener, err = net.Listen("tcp", address)
		if err == nil {
			say(object{"event": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
			carrier, err = listener.Accept()
			listener.Close()
		}
	default:
		err = fmt.Errorf("neither dial nor listen: %q", mode)
	}
	if err != nil {
		fail(err)
	}
	p.carrier = carrier
	p.session, err = build.start(carrier, mode == "dial", chosen)
	if err != nil {
		fail(err)
	}
	if unknown := chosen.unknown(); len(unknown) > 0 {
		fail(fmt.Errorf("unknown options: %s", strings.Join(unknown, ", ")))
	}
	role := "server"
	if mode == "dial" {
		role = "client"
	}
	say(object{"event": "ready", "implementation": build.module, "version": moduleVersion(build.module), "role": role})
	go p.acceptLoop()

	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			// Whoever started us is gone.
			os.Exit(0)
		}
		var c command
		if err := json.Unmarshal(line, &c); err != nil {
			say(object{"event": "failed", "error": "bad command: " + err.Error()})
			continue
		}
		go p.execute(c)
	}
}
