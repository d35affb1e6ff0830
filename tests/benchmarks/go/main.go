// One process of a measurement, for smux and yamux in Go: see job.py for what it
// is asked to do, and for what it answers.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

const (
	blockSize   = 64 * 1024
	messageSize = 64
)

type job struct {
	Kind    string         `json:"kind"`
	Streams int            `json:"streams"`
	Bulk    int            `json:"bulk"`
	Idle    int            `json:"idle"`
	Latency bool           `json:"latency"`
	Warm    float64        `json:"warm"`
	Seconds float64        `json:"seconds"`
	Limit   float64        `json:"limit"`
	Pull    bool           `json:"pull"`
	Config  map[string]int `json:"config"`
}

func say(name string, value any) {
	line, err := json.Marshal(map[string]any{name: value})
	must(err)
	fmt.Println(string(line))
}

func must(err error) {
	if err != nil {
		fatal(err)
	}
}

func fatal(about any) {
	fmt.Fprintln(os.Stderr, about)
	os.Exit(1)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func message(number int) []byte {
	text := fmt.Sprintf("e%d,", number)
	return []byte(text + strings.Repeat(".", messageSize-len(text)))
}

func main() {
	var j job
	must(json.Unmarshal([]byte(os.Args[3]), &j))
	time.AfterFunc(seconds(j.Limit), func() { fatal("took too long") })
	if os.Args[1] == "server" {
		serve(j, os.Args[2])
	} else {
		dial(j, os.Args[2], os.Args[4])
	}
	select {}
}

// The server.

type server struct {
	job
	bytes    atomic.Int64
	messages atomic.Int64
	before   int64
	begun    atomic.Bool
}

func serve(j job, wire string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s := &server{job: j}
	if j.Kind == "memory" {
		s.before = resident()
	}
	say("port", listener.Addr().(*net.TCPAddr).Port)
	carrier, err := listener.Accept()
	must(err)
	session, err := start(wire, carrier, false)
	must(err)
	for {
		stream, err := session.accept()
		if err == io.EOF {
			os.Exit(0)
		}
		must(err)
		if j.Kind == "bulk" && s.begun.CompareAndSwap(false, true) {
			go s.measure()
		}
		go s.serve(stream)
	}
}

func (s *server) serve(stream io.ReadWriteCloser) {
	defer stream.Close()
	size := 4096
	if s.Kind == "bulk" {
		size = blockSize
	}
	buffer := make([]byte, size)
	for first := true; ; first = false {
		n, err := stream.Read(buffer)
		if err != nil {
			return
		}
		if first && buffer[0] != 'e' && len(buffer) < blockSize {
			buffer = append(make([]byte, 0, blockSize), buffer[:n]...)[:blockSize]
		}
		if buffer[0] != 'e' {
			s.bytes.Add(int64(n))
			continue
		}
		if _, err := stream.Write(buffer[:n]); err != nil {
			return
		}
		if s.Kind == "memory" && s.messages.Add(1) == int64(s.Streams) {
			go func() {
				time.Sleep(seconds(s.Warm))
				grown := float64(resident() - s.before)
				say("result", map[string]float64{"bytes": grown / float64(s.Streams)})
			}()
		}
	}
}

func (s *server) measure() {
	say("result", measure(s.job, &s.bytes))
}

// The result of a count that goes up meanwhile.
func measure(j job, count *atomic.Int64) map[string]float64 {
	time.Sleep(seconds(j.Warm))
	before, began := count.Load(), time.Now()
	time.Sleep(seconds(j.Seconds))
	done, elapsed := count.Load()-before, time.Since(began).Seconds()
	return map[string]float64{
		"rate": float64(done) / elapsed, "count": float64(done), "seconds": elapsed,
	}
}

// The client.

type client struct {
	job
	session
	count   atomic.Int64
	numbers int
}

func dial(j job, wire string, port string) {
	carrier, err := net.Dial("tcp", "127.0.0.1:"+port)
	must(err)
	session, err := start(wire, carrier, true)
	must(err)
	c := &client{job: j, session: session}
	c.stay(j.Idle)
	if j.Kind == "memory" {
		c.stay(j.Streams)
		return
	}
	for i := 0; i < j.Bulk; i++ {
		go c.bulk()
	}
	noted := make(chan []time.Duration, 1)
	for i := 0; i < j.Streams; i++ {
		c.numbers++
		switch {
		case j.Kind == "bulk":
			go c.bulk()
		case j.Kind == "churn":
			go c.churn(message(c.numbers))
		case j.Latency:
			go c.timed(message(c.numbers), noted)
		default:
			go c.echo(message(c.numbers))
		}
	}
	if j.Kind == "bulk" {
		return
	}
	result := measure(j, &c.count)
	if j.Latency {
		percentiles(<-noted, result)
	}
	say("result", result)
}

// stay opens streams, has one message echoed on each, and leaves them.
func (c *client) stay(streams int) {
	for i := 0; i < streams; i++ {
		c.numbers++
		stream, err := c.open()
		must(err)
		c.exchange(stream, message(c.numbers), make([]byte, messageSize))
	}
}

func (c *client) exchange(stream io.ReadWriter, message, buffer []byte) {
	_, err := stream.Write(message)
	must(err)
	_, err = io.ReadFull(stream, buffer)
	must(err)
	if !bytes.Equal(message, buffer) {
		fatal(fmt.Sprintf("%q came back for %q", buffer, message))
	}
}

func (c *client) bulk() {
	stream, err := c.open()
	must(err)
	block := bytes.Repeat([]byte("b"), blockSize)
	for {
		_, err := stream.Write(block)
		must(err)
	}
}

func (c *client) echo(message []byte) {
	stream, err := c.open()
	must(err)
	buffer := make([]byte, messageSize)
	for {
		c.exchange(stream, message, buffer)
		c.count.Add(1)
	}
}

// timed notes how long each message takes while the measurement lasts.
func (c *client) timed(message []byte, noted chan []time.Duration) {
	stream, err := c.open()
	must(err)
	buffer := make([]byte, messageSize)
	var times []time.Duration
	warm := time.Now().Add(seconds(c.Warm))
	end := warm.Add(seconds(c.Seconds))
	for now := time.Now(); now.Before(end); {
		began := now
		c.exchange(stream, message, buffer)
		c.count.Add(1)
		now = time.Now()
		if began.After(warm) {
			times = append(times, now.Sub(began))
		}
	}
	noted <- times
}

func percentiles(times []time.Duration, result map[string]float64) {
	if len(times) == 0 {
		fatal("not one message came back")
	}
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	for name, share := range map[string]float64{"p50": 0.5, "p99": 0.99} {
		at := min(len(times)-1, int(float64(len(times))*share))
		result[name] = float64(times[at].Nanoseconds()) / 1000
	}
}

func (c *client) churn(message []byte) {
	buffer := make([]byte, messageSize)
	for {
		stream, err := c.open()
		must(err)
		c.exchange(stream, message, buffer)
		must(stream.Close())
		c.count.Add(1)
	}
}
