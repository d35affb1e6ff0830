package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	hashicorp "github.com/hashicorp/yamux"
	mplex "github.com/libp2p/go-mplex"
	libp2p "github.com/libp2p/go-yamux/v5"
	"github.com/xtaci/smux"
)

// errUnsupported says that the peer's public API has no means for a request.
var errUnsupported = errors.New("the implementation has no means for this")

// stream is what the scenarios need of a stream of any implementation.
type stream interface {
	io.ReadWriter
	// key tells the stream from others in events.
	key() any
	// end ends our direction.
	end() error
	// close gives the stream up, as the implementation's own Close does.
	close() error
	// reset drops it.
	reset(code uint32) error
}

// session is what the scenarios need of a session of any implementation.
type session interface {
	open(name string) (stream, error)
	accept() (stream, error)
	ping() (time.Duration, error)
	goAway() error
	close(code uint32) error
	streams() int
	done() <-chan struct{}
}

// implementation is one multiplexer that can be started by name.
type implementation struct {
	module string
	start  func(carrier net.Conn, client bool, o *options) (session, error)
}

var implementations = map[string]implementation{
	"smux":      {"github.com/xtaci/smux", startSmux},
	"hashicorp": {"github.com/hashicorp/yamux", startHashicorp},
	"go-yamux":  {"github.com/libp2p/go-yamux/v5", startLibp2p},
	"mplex":     {"github.com/libp2p/go-mplex", startMplex},
}

// github.com/xtaci/smux

type smuxSession struct{ *smux.Session }

// smuxStream hides one slip: once both directions have ended, Read may give io.ErrClosedPipe in place of io.EOF.
type smuxStream struct {
	*smux.Stream
	session *smux.Session
	ended   *atomic.Bool
}

func startSmux(carrier net.Conn, client bool, o *options) (session, error) {
	config := smux.DefaultConfig()
	config.Version = o.number("version", config.Version)
	config.KeepAliveInterval = o.duration("keepalive", config.KeepAliveInterval)
	config.KeepAliveTimeout = o.duration("keepalive_timeout", config.KeepAliveTimeout)
	config.KeepAliveDisabled = config.KeepAliveInterval == 0
	config.MaxFrameSize = o.number("max_frame", config.MaxFrameSize)
	config.MaxReceiveBuffer = o.number("receive_buffer", config.MaxReceiveBuffer)
	config.MaxStreamBuffer = o.number("window", config.MaxStreamBuffer)
	make := smux.Server
	if client {
		make = smux.Client
	}
	s, err := make(carrier, config)
	return smuxSession{s}, err
}

func (s smuxSession) open(string) (stream, error) {
	st, err := s.OpenStream()
	if err != nil {
		return nil, err
	}
	return smuxStream{st, s.Session, new(atomic.Bool)}, nil
}

func (s smuxSession) accept() (stream, error) {
	st, err := s.AcceptStream()
	if err != nil {
		return nil, err
	}
	return smuxStream{st, s.Session, new(atomic.Bool)}, nil
}

func (s smuxSession) ping() (time.Duration, error) { return 0, errUnsupported }
func (s smuxSession) goAway() error                { return errUnsupported }
func (s smuxSession) close(uint32) error           { return s.Close() }
func (s smuxSession) streams() int                 { return s.NumStreams() }
func (s smuxSession) done() <-chan struct{}        { return s.CloseChan() }
func (s smuxStream) key() any                      { return s.ID() }

func (s smuxStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if err == io.ErrClosedPipe && s.ended.Load() && !s.session.IsClosed() {
		err = io.EOF
	}
	return n, err
}

func (s smuxStream) end() error {
	s.ended.Store(true)
	return s.CloseWrite()
}

func (s smuxStream) close() error       { return s.Close() }
func (s smuxStream) reset(uint32) error { return errUnsupported }

// github.com/hashicorp/yamux

type hashicorpSession struct{ *hashicorp.Session }
type hashicorpStream struct{ *hashicorp.Stream }

func startHashicorp(carrier net.Conn, client bool, o *options) (session, error) {
	config := hashicorp.DefaultConfig()
	config.MaxStreamWindowSize = uint32(o.number("window", int(config.MaxStreamWindowSize)))
	config.AcceptBacklog = o.number("backlog", config.AcceptBacklog)
	interval := o.duration("keepalive", config.KeepAliveInterval)
	config.EnableKeepAlive = interval > 0
	if interval > 0 {
		config.KeepAliveInterval = interval
	}
	// The same time bounds writes and the wait for a pong.
	config.ConnectionWriteTimeout = o.duration("keepalive_timeout", config.ConnectionWriteTimeout)
	config.StreamOpenTimeout = o.duration("open_timeout", config.StreamOpenTimeout)
	config.StreamCloseTimeout = o.duration("close_timeout", config.StreamCloseTimeout)
	make := hashicorp.Server
	if client {
		make = hashicorp.Client
	}
	s, err := make(carrier, config)
	return hashicorpSession{s}, err
}

func (s hashicorpSession) open(string) (stream, error) {
	st, err := s.OpenStream()
	if err != nil {
		return nil, err
	}
	return hashicorpStream{st}, nil
}

func (s hashicorpSession) accept() (stream, error) {
	st, err := s.AcceptStream()
	if err != nil {
		return nil, err
	}
	return hashicorpStream{st}, nil
}

func (s hashicorpSession) ping() (time.Duration, error) { return s.Ping() }
func (s hashicorpSession) goAway() error                { return s.GoAway() }
func (s hashicorpSession) close(uint32) error           { return s.Close() }
func (s hashicorpSession) streams() int                 { return s.NumStreams() }
func (s hashicorpSession) done() <-chan struct{}        { return s.CloseChan() }
func (s hashicorpStream) key() any                      { return s.StreamID() }

// end uses Close: it sends FIN and leaves the reading side as it is.
func (s hashicorpStream) end() error         { return s.Close() }
func (s hashicorpStream) close() error       { return s.Close() }
func (s hashicorpStream) reset(uint32) error { return errUnsupported }

// github.com/libp2p/go-yamux/v5

type libp2pSession struct{ *libp2p.Session }
type libp2pStream struct{ *libp2p.Stream }

func startLibp2p(carrier net.Conn, client bool, o *options) (session, error) {
	config := libp2p.DefaultConfig()
	config.InitialStreamWindowSize = uint32(o.number("window", int(config.InitialStreamWindowSize)))
	config.MaxStreamWindowSize = uint32(o.number("max_window", int(config.MaxStreamWindowSize)))
	config.AcceptBacklog = o.number("backlog", config.AcceptBacklog)
	interval := o.duration("keepalive", config.KeepAliveInterval)
	config.EnableKeepAlive = interval > 0
	if interval > 0 {
		config.KeepAliveInterval = interval
	}
	config.MeasureRTTInterval = o.duration("rtt_interval", config.MeasureRTTInterval)
	config.ConnectionWriteTimeout = o.duration("keepalive_timeout", config.ConnectionWriteTimeout)
	config.MaxIncomingStreams = uint32(o.number("max_streams", int(config.MaxIncomingStreams)))
	// MaxMessageSize counts the header.
	config.MaxMessageSize = uint32(o.number("max_frame", int(config.MaxMessageSize)))
	make := libp2p.Server
	if client {
		make = libp2p.Client
	}
	s, err := make(carrier, config, nil)
	return libp2pSession{s}, err
}

func (s libp2pSession) open(string) (stream, error) {
	st, err := s.OpenStream(context.Background())
	if err != nil {
		return nil, err
	}
	return libp2pStream{st}, nil
}

func (s libp2pSession) accept() (stream, error) {
	st, err := s.AcceptStream()
	if err != nil {
		return nil, err
	}
	return libp2pStream{st}, nil
}

func (s libp2pSession) ping() (time.Duration, error) { return s.Ping() }
func (s libp2pSession) goAway() error                { return s.GoAway() }
func (s libp2pSession) close(code uint32) error {
	if code != 0 {
		return s.CloseWithError(code)
	}
	return s.Close()
}
func (s libp2pSession) streams() int           { return s.NumStreams() }
func (s libp2pSession) done() <-chan struct{}  { return s.CloseChan() }
func (s libp2pStream) key() any                { return s.StreamID() }
func (s libp2pStream) end() error              { return s.CloseWrite() }
func (s libp2pStream) close() error            { return s.Close() }
func (s libp2pStream) reset(code uint32) error { return s.ResetWithError(code) }

// github.com/libp2p/go-mplex

type mplexSession struct{ *mplex.Multiplex }
type mplexStream struct{ *mplex.Stream }

func startMplex(carrier net.Conn, client bool, o *options) (session, error) {
	mplex.ReceiveTimeout = o.duration("receive_timeout", mplex.ReceiveTimeout)
	s, err := mplex.NewMultiplex(carrier, client, nil)
	return mplexSession{s}, err
}

func (s mplexSession) open(name string) (stream, error) {
	st, err := s.NewNamedStream(context.Background(), name)
	if err != nil {
		return nil, err
	}
	return mplexStream{st}, nil
}

func (s mplexSession) accept() (stream, error) {
	st, err := s.Accept()
	if err != nil {
		return nil, err
	}
	return mplexStream{st}, nil
}

func (s mplexSession) ping() (time.Duration, error) { return 0, errUnsupported }
func (s mplexSession) goAway() error                { return errUnsupported }
func (s mplexSession) close(uint32) error           { return s.Close() }

// streams is not told by this implementation.
func (s mplexSession) streams() int          { return -1 }
func (s mplexSession) done() <-chan struct{} { return s.CloseChan() }

// key is the name: the id is private, and the acceptor does not keep the name either.
func (s mplexStream) key() any           { return s.Name() }
func (s mplexStream) end() error         { return s.CloseWrite() }
func (s mplexStream) close() error       { return s.Close() }
func (s mplexStream) reset(uint32) error { return s.Reset() }
