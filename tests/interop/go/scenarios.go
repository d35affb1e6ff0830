package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// command is one line of standard input. Which fields count depends on Cmd and Service.
type command struct {
	ID         int     `json:"id"`
	Cmd        string  `json:"cmd"`
	Service    string  `json:"service"`
	Name       string  `json:"name"`
	Size       int64   `json:"size"`
	Seed       int64   `json:"seed"`
	Streams    int     `json:"streams"`
	Concurrent bool    `json:"concurrent"`
	Ms         int64   `json:"ms"`
	Chunk      int     `json:"chunk"`
	Hex        string  `json:"hex"`
	Code       uint32  `json:"code"`
	On         bool    `json:"on"`
	Exact      bool    `json:"exact"`
	Timeout    float64 `json:"timeout"`
}

// kind sorts an error of any of the implementations.
func kind(err error) string {
	text := err.Error()
	switch {
	case err == io.EOF:
		return "end"
	case errors.Is(err, errUnsupported):
		return "unsupported"
	case errors.Is(err, errTimedOut):
		return "timeout"
	case strings.Contains(text, "reset"):
		return "reset"
	case strings.Contains(text, "go away"), strings.Contains(text, "not accepting connections"):
		return "goaway"
	case strings.Contains(text, "closed"), strings.Contains(text, "shutdown"), strings.Contains(text, "EOF"):
		return "closed"
	}
	return "other"
}

var errTimedOut = errors.New("the command took too long")

// execute answers one command with one reply.
func (p *peer) execute(c command) {
	if c.Cmd == "exit" {
		say(object{"id": c.ID, "ok": true})
		os.Exit(0)
	}
	limit := c.Timeout
	if limit == 0 {
		limit = 120
	}
	answers := make(chan object, 1)
	go func() {
		reply := object{}
		err := p.command(c, reply)
		if err != nil {
			reply["error"], reply["kind"] = err.Error(), kind(err)
			if errors.Is(err, errUnsupported) {
				reply["unsupported"] = true
			}
		}
		reply["ok"] = err == nil
		answers <- reply
	}()
	select {
	case reply := <-answers:
		reply["id"] = c.ID
		say(reply)
	case <-time.After(time.Duration(limit * float64(time.Second))):
		say(object{"id": c.ID, "ok": false, "error": errTimedOut.Error(), "kind": "timeout"})
	}
}

func (p *peer) command(c command, reply object) error {
	switch c.Cmd {
	case "open":
		return p.open(c, reply)
	case "ping":
		rtt, err := p.session.ping()
		if err == nil {
			reply["seconds"] = rtt.Seconds()
		}
		return err
	case "goaway":
		return p.session.goAway()
	case "close":
		return p.session.close(c.Code)
	case "abort":
		return p.carrier.Close()
	case "stats":
		p.lock.Lock()
		defer p.lock.Unlock()
		reply["streams"], reply["accepted"], reply["held"] = p.session.streams(), p.accepted, len(p.held)
		select {
		case <-p.session.done():
			reply["closed"] = true
		default:
			reply["closed"] = false
		}
		return nil
	case "accepting", "release":
		p.lock.Lock()
		defer p.lock.Unlock()
		if c.Cmd == "accepting" {
			p.accepting = c.On
		} else {
			p.released = true
		}
		p.changed.Broadcast()
		return nil
	}
	p.lock.Lock()
	h := p.held[c.Name]
	p.lock.Unlock()
	if h == nil {
		return fmt.Errorf("no held stream %q, or unknown command %q", c.Name, c.Cmd)
	}
	return h.command(c, reply)
}

// command drives one held stream by hand.
func (h *held) command(c command, reply object) error {
	m := newMeter()
	switch c.Cmd {
	case "write":
		var err error
		if c.Hex != "" {
			var data []byte
			if data, err = hex.DecodeString(c.Hex); err != nil {
				return err
			}
			_, err = h.Write(data)
			m.Write(data)
		} else {
			err = writeNoise(h, c.Size, c.Seed, c.Chunk, m)
		}
		reply["bytes"], reply["sha256"] = m.n, m.sum()
		return err
	case "read":
		// Exactly size bytes.
		_, err := io.CopyN(m, h.reader, c.Size)
		reply["bytes"], reply["sha256"] = m.n, m.sum()
		return err
	case "read-all":
		err := readAll(h.reader, m)
		reply["bytes"], reply["sha256"] = m.n, m.sum()
		return err
	case "end":
		return h.end()
	case "close-stream":
		return h.stream.close()
	case "reset":
		return h.reset(c.Code)
	}
	return fmt.Errorf("unknown command %q", c.Cmd)
}

// open opens streams and runs the opener's side of a service on each.
func (p *peer) open(c command, reply object) error {
	if c.Service == "manual" || c.Service == "none" {
		st, err := p.session.open(c.Name)
		if err != nil {
			return err
		}
		reply["stream"] = st.key()
		p.keep(c.Name, st, bufio.NewReaderSize(st, 64))
		if c.Service == "manual" {
			_, err = fmt.Fprintf(st, "manual %s\n", c.Name)
		}
		return err
	}
	count := max(c.Streams, 1)
	results := make([]object, count)
	started := time.Now()
	one := func(i int) {
		report := object{}
		err := p.openOne(c, c.Seed+int64(i), report)
		report["ok"] = err == nil
		if err != nil {
			report["error"], report["kind"] = err.Error(), kind(err)
		}
		results[i] = report
	}
	if c.Concurrent {
		var group sync.WaitGroup
		for i := range results {
			group.Add(1)
			go func() {
				defer group.Done()
				one(i)
			}()
		}
		group.Wait()
	} else {
		for i := range results {
			one(i)
		}
	}
	var failed int
	var first error
	var sent, received int64
	var shown []object
	for _, report := range results {
		sent += counted(report, "sent")
		received += counted(report, "received")
		if report["ok"] != true {
			failed++
			if first == nil {
				first = fmt.Errorf("%v", report["error"])
			}
		}
		if len(shown) < 8 && (count <= 8 || report["ok"] != true) {
			shown = append(shown, report)
		}
	}
	reply["streams"], reply["failed"], reply["results"] = count, failed, shown
	reply["sent"], reply["received"] = sent, received
	reply["seconds"] = time.Since(started).Seconds()
	return first
}

func counted(report object, key string) int64 {
	n, _ := report[key].(int64)
	return n
}

// openOne is the opener's side of every service.
func (p *peer) openOne(c command, seed int64, report object) (err error) {
	st, err := p.session.open(c.Name)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	report["stream"] = st.key()
	in, out := newMeter(), newMeter()
	closeStream := true
	defer func() {
		if closeStream {
			st.close()
		}
		report["sent"], report["sentSha256"] = out.n, out.sum()
		report["received"], report["receivedSha256"] = in.n, in.sum()
	}()
	exact := c.Exact && c.Service != "sink" || c.Service == "take"
	line := c.Service
	switch c.Service {
	case "source", "half", "late":
		line = fmt.Sprintf("%s %d %d", c.Service, c.Size, seed)
	case "take":
		line = fmt.Sprintf("take %d", c.Size)
	case "hold", "close-unread":
		line = fmt.Sprintf("%s %d", c.Service, c.Ms)
		if exact && c.Service == "hold" {
			line = fmt.Sprintf("hold %d %d", c.Ms, c.Size)
		}
	case "reset":
		line = fmt.Sprintf("reset %d %d", c.Ms, c.Code)
	}
	if _, err = io.WriteString(st, line+"\n"); err != nil {
		return fmt.Errorf("line: %w", err)
	}
	switch c.Service {
	case "echo":
		failed := make(chan error, 1)
		go func() {
			if err := writeNoise(st, c.Size, seed, c.Chunk, out); err != nil {
				failed <- err
				return
			}
			if exact {
				failed <- nil
				return
			}
			failed <- st.end()
		}()
		var readError error
		if exact {
			// Our direction ends only when all has come back.
			if _, readError = io.CopyN(in, st, c.Size); readError == nil {
				readError = st.end()
			}
		}
		if readError == nil {
			readError = readAll(st, in)
		}
		if err := <-failed; err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if readError != nil {
			return fmt.Errorf("read: %w", readError)
		}
		return same(in.sum(), out.sum())
	case "sink", "hold", "take":
		if err := writeNoise(st, c.Size, seed, c.Chunk, out); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if !exact {
			if err := st.end(); err != nil {
				return fmt.Errorf("end: %w", err)
			}
		}
		answer, err := io.ReadAll(io.TeeReader(st, in))
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if exact {
			if err := st.end(); err != nil {
				return fmt.Errorf("end: %w", err)
			}
		}
		return same(string(answer), fmt.Sprintf("%d %s\n", out.n, out.sum()))
	case "source":
		if err := readAll(st, in); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := st.end(); err != nil {
			return fmt.Errorf("end: %w", err)
		}
		return same(in.sum(), noiseHash(c.Size, seed))
	case "half":
		// The acceptor ends first, then we send.
		if err := readAll(st, in); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := writeNoise(st, c.Size, seed, c.Chunk, out); err != nil {
			return fmt.Errorf("write after the other end: %w", err)
		}
		if err := st.end(); err != nil {
			return fmt.Errorf("end: %w", err)
		}
		return same(in.sum(), noiseHash(c.Size, seed))
	case "late":
		// We end first, then the acceptor sends.
		if err := st.end(); err != nil {
			return fmt.Errorf("end: %w", err)
		}
		if err := readAll(st, in); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		return same(in.sum(), noiseHash(c.Size, seed))
	case "close-unread", "reset":
		// What happens to us is the result: no outcome is wrong as such.
		writes := make(chan error, 1)
		go func() { writes <- writeNoise(st, c.Size, seed, c.Chunk, out) }()
		report["readEnd"] = outcome(readAll(st, in))
		select {
		case err := <-writes:
			report["writeEnd"] = outcome(err)
		case <-time.After(time.Second):
			report["writeEnd"] = "blocked"
			st.close()
			<-time.After(10 * time.Millisecond)
		}
		return nil
	}
	return fmt.Errorf("unknown service %q", c.Service)
}

func outcome(err error) string {
	if err == nil {
		return "end"
	}
	return kind(err)
}

func same(got, want string) error {
	if got != want {
		return fmt.Errorf("content differs: got %q, want %q", got, want)
	}
	return nil
}
