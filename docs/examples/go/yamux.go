package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	"github.com/hashicorp/yamux"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// serve answers lines in upper case.
func serve(stream io.ReadWriteCloser) {
	defer stream.Close()
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		fmt.Fprintln(stream, strings.ToUpper(lines.Text()))
	}
}

func listen(address string) {
	listener := must(net.Listen("tcp", address))
	fmt.Println("listening")
	for {
		session := must(yamux.Server(must(listener.Accept()), nil))
		go func() {
			for {
				stream, err := session.Accept()
				if err != nil {
					return
				}
				go serve(stream)
			}
		}()
	}
}

func ask(address string) {
	session := must(yamux.Client(must(net.Dial("tcp", address)), nil))
	for _, word := range []string{"one", "two", "three"} {
		stream := must(session.Open())
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
