package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"

	"github.com/hashicorp/yamux"
	"github.com/xtaci/smux"
)

type session interface {
	open() (io.ReadWriteCloser, error)
	accept() (io.ReadWriteCloser, error)
}

type smuxSession struct{ *smux.Session }

func (s smuxSession) open() (io.ReadWriteCloser, error) { return s.OpenStream() }

func (s smuxSession) accept() (io.ReadWriteCloser, error) {
	stream, err := s.AcceptStream()
	if err != nil {
		// However the carrier ended.
		return nil, io.EOF
	}
	return stream, nil
}

type yamuxSession struct{ *yamux.Session }

func (s yamuxSession) open() (io.ReadWriteCloser, error) { return s.OpenStream() }

func (s yamuxSession) accept() (io.ReadWriteCloser, error) {
	stream, err := s.AcceptStream()
	if err != nil {
		return nil, io.EOF
	}
	return stream, nil
}

// start begins a session with the implementation's default configuration.
func start(wire string, carrier net.Conn, client bool) (session, error) {
	switch wire {
	case "smux1", "smux2":
		config := smux.DefaultConfig()
		config.Version = int(wire[4] - '0')
		make := smux.Server
		if client {
			make = smux.Client
		}
		s, err := make(carrier, config)
		return smuxSession{s}, err
	case "yamux":
		config := yamux.DefaultConfig()
		config.LogOutput = io.Discard
		make := yamux.Server
		if client {
			make = yamux.Client
		}
		s, err := make(carrier, config)
		return yamuxSession{s}, err
	}
	return nil, fmt.Errorf("no such wire: %q", wire)
}

// resident is what this process has of the machine's memory, in bytes.
func resident() int64 {
	debug.FreeOSMemory()
	content, err := os.ReadFile("/proc/self/statm")
	must(err)
	var size, pages int64
	_, err = fmt.Fscan(bytes.NewReader(content), &size, &pages)
	must(err)
	return pages * int64(os.Getpagesize())
}
