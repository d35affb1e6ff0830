package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	multiplex "github.com/libp2p/go-mplex"
	"github.com/multiformats/go-multistream"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

const name = "/upper/1.0.0"

// serve answers lines in upper case.
func serve(_ string, stream io.ReadWriteCloser) error {
	defer stream.Close()
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		fmt.Fprintln(stream, strings.ToUpper(lines.Text()))
	}
	return nil
}

func listen(address string) {
	muxer := multistream.NewMultistreamMuxer[string]()
	muxer.AddHandler(name, serve)
	listener := must(net.Listen("tcp", address))
	fmt.Println("listening")
	for {
		session := must(multiplex.NewMultiplex(must(listener.Accept()), false, nil))
		go func() {
			for {
				stream, err := session.Accept()
				if err != nil {
					return
				}
				go muxer.Handle(stream)
			}
		}()
	}
}

func ask(address string) {
	session := must(multiplex.NewMultiplex(must(net.Dial("tcp", address)), true, nil))
	for _, word := range []string{"one", "two", "three"} {
		stream := must(session.NewStream(context.Background()))
		must(multistream.SelectOneOf([]string{name}, stream))
		fmt.Fprintln(stream, word)
		fmt.Print("answer: ", must(bufio.NewReader(stream).ReadString('\n')))
		stream.Close()
	}
}

func main() {
	if os.Args[1] == "listen" {
		listen(os.Args[2])
	} else {
		ask(os.Args[2])
	}
}
