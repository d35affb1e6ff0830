package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	"github.com/xtaci/smux"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// config is the default one, which is version 1, but for the version.
func config() *smux.Config {
	config := smux.DefaultConfig()
	config.Version = 2
	return config
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
		session := must(smux.Server(must(listener.Accept()), config()))
		go func() {
			for {
				stream, err := session.AcceptStream()
				if err != nil {
					return
				}
				go serve(stream)
			}
		}()
	}
}

func ask(address string) {
	session := must(smux.Client(must(net.Dial("tcp", address)), config()))
	for _, word := range []string{"one", "two", "three"} {
		stream := must(session.OpenStream())
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
