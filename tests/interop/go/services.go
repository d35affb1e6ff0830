package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// noise is a reader of n pseudo-random bytes: SHAKE-128 of the seed in decimal.
func noise(n int64, seed int64) io.Reader {
	shake := sha3.NewSHAKE128()
	shake.Write([]byte(strconv.FormatInt(seed, 10)))
	return io.LimitReader(shake, n)
}

// noiseHash is the SHA-256 of what noise gives.
func noiseHash(n int64, seed int64) string {
	h := sha256.New()
	io.Copy(h, noise(n, seed))
	return hex.EncodeToString(h.Sum(nil))
}

// meter counts and hashes what passes.
type meter struct {
	n int64
	h hash.Hash
}

func newMeter() *meter { return &meter{h: sha256.New()} }

func (m *meter) Write(b []byte) (int, error) {
	m.n += int64(len(b))
	return m.h.Write(b)
}

func (m *meter) sum() string { return hex.EncodeToString(m.h.Sum(nil)) }

// readAll reads to the end, a chunk at a time.
func readAll(r io.Reader, m *meter) error {
	buffer := make([]byte, 64*1024)
	for {
		n, err := r.Read(buffer)
		m.Write(buffer[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// writeNoise sends n pseudo-random bytes, chunk bytes a write.
func writeNoise(w io.Writer, n int64, seed int64, chunk int, m *meter) error {
	if chunk <= 0 {
		chunk = 64 * 1024
	}
	source := noise(n, seed)
	buffer := make([]byte, chunk)
	for {
		k, err := io.ReadFull(source, buffer)
		if k > 0 {
			wrote, err := w.Write(buffer[:k])
			m.Write(buffer[:wrote])
			if err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// held is a stream that standard input drives.
type held struct {
	stream
	reader io.Reader
}

// peer is the session with what the commands need to remember.
type peer struct {
	session session
	carrier net.Conn
	delay   time.Duration

	lock      sync.Mutex
	changed   *sync.Cond
	accepting bool
	released  bool
	held      map[string]*held
	accepted  int
}

func newPeer(o *options) *peer {
	p := &peer{
		accepting: o.number("accepting", 1) != 0,
		delay:     o.duration("accept_delay", 0),
		held:      map[string]*held{},
	}
	p.changed = sync.NewCond(&p.lock)
	return p
}

// acceptLoop takes streams until the session ends.
func (p *peer) acceptLoop() {
	for {
		p.lock.Lock()
		for !p.accepting {
			p.changed.Wait()
		}
		p.lock.Unlock()
		time.Sleep(p.delay)
		st, err := p.session.accept()
		if err != nil {
			say(object{"event": "closed", "error": err.Error()})
			p.session.close(0)
			return
		}
		p.lock.Lock()
		p.accepted++
		p.lock.Unlock()
		go p.serve(st)
	}
}

// serve runs the service that the opener's first line asks for.
func (p *peer) serve(st stream) {
	reader := bufio.NewReaderSize(st, 64)
	line, err := reader.ReadString('\n')
	if err != nil {
		say(object{"event": "served", "stream": st.key(), "service": "", "ok": false, "error": err.Error(), "kind": kind(err)})
		st.close()
		return
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		words = []string{""}
	}
	say(object{"event": "accepted", "stream": st.key(), "service": words[0], "line": strings.TrimSuffix(line, "\n")})
	report := object{"event": "served", "stream": st.key(), "service": words[0]}
	in, out := newMeter(), newMeter()
	err = p.run(words, st, reader, in, out)
	if errors.Is(err, errHeld) {
		return
	}
	report["received"], report["receivedSha256"] = in.n, in.sum()
	report["sent"], report["sentSha256"] = out.n, out.sum()
	report["ok"] = err == nil
	if err != nil {
		report["error"], report["kind"] = err.Error(), kind(err)
		if errors.Is(err, errUnsupported) {
			report["unsupported"] = true
		}
	}
	say(report)
}

// errHeld says that the stream goes on in the hands of standard input.
var errHeld = errors.New("held")

func argument(words []string, i int) int64 {
	if i >= len(words) {
		return 0
	}
	n, _ := strconv.ParseInt(words[i], 10, 64)
	return n
}

// run is the acceptor's side of every service.
func (p *peer) run(words []string, st stream, reader io.Reader, in, out *meter) error {
	switch words[0] {
	case "echo":
		defer st.close()
		if err := readAll(io.TeeReader(reader, io.MultiWriter(st, out)), in); err != nil {
			return err
		}
		return st.end()
	case "sink":
		defer st.close()
		return answerSum(st, reader, in, -1)
	case "take":
		// As sink, but of a length said in advance: needs no half-close of the opener.
		defer st.close()
		return answerSum(st, reader, in, argument(words, 1))
	case "hold":
		defer st.close()
		if ms := argument(words, 1); ms >= 0 {
			time.Sleep(time.Duration(ms) * time.Millisecond)
		} else {
			p.lock.Lock()
			for !p.released {
				p.changed.Wait()
			}
			p.lock.Unlock()
		}
		if len(words) > 2 {
			return answerSum(st, reader, in, argument(words, 2))
		}
		return answerSum(st, reader, in, -1)
	case "source":
		defer st.close()
		if err := writeNoise(st, argument(words, 1), argument(words, 2), 0, out); err != nil {
			return err
		}
		if err := st.end(); err != nil {
			return err
		}
		return readAll(reader, in)
	case "half":
		// Our direction ends at once; the opener's goes on.
		defer st.close()
		if err := writeNoise(st, argument(words, 1), argument(words, 2), 0, out); err != nil {
			return err
		}
		if err := st.end(); err != nil {
			return err
		}
		return readAll(reader, in)
	case "late":
		// The opener's direction ends first; ours goes on.
		defer st.close()
		if err := readAll(reader, in); err != nil {
			return err
		}
		if err := writeNoise(st, argument(words, 1), argument(words, 2), 0, out); err != nil {
			return err
		}
		return st.end()
	case "close-unread":
		time.Sleep(time.Duration(argument(words, 1)) * time.Millisecond)
		return st.close()
	case "reset":
		time.Sleep(time.Duration(argument(words, 1)) * time.Millisecond)
		err := st.reset(uint32(argument(words, 2)))
		if errors.Is(err, errUnsupported) {
			st.close()
		}
		return err
	case "manual":
		if len(words) < 2 {
			st.close()
			return errors.New("manual needs a name")
		}
		p.keep(words[1], st, reader)
		return errHeld
	}
	st.close()
	return fmt.Errorf("unknown service %q", words[0])
}

// answerSum says how much came in and its hash: at the end, or after n bytes where n is not negative.
func answerSum(st stream, reader io.Reader, in *meter, n int64) error {
	var err error
	if n < 0 {
		err = readAll(reader, in)
	} else {
		_, err = io.CopyN(in, reader, n)
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(st, "%d %s\n", in.n, in.sum()); err != nil {
		return err
	}
	if err := st.end(); err != nil {
		return err
	}
	if n >= 0 {
		return readAll(reader, newMeter())
	}
	return nil
}

func (p *peer) keep(name string, st stream, reader io.Reader) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.held[name] = &held{st, reader}
}
