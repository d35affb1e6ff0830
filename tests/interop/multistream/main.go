// Command multistream-peer names streams with go-multistream, over hashicorp's yamux.
//
//	multistream-peer listen NAME...             accepts carriers on loopback, prints the port; echoes on streams of these names
//	multistream-peer dial HOST:PORT HOW NAME... opens one stream and prints "agreed NAME ANSWER" or "failed ERROR";
//	                                            HOW is "select", or "lazy": data is sent behind the name at once
package main

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/hashicorp/yamux"
	"github.com/multiformats/go-multistream"
)

const question = "question"

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	return c
}

func check(err error) {
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(0)
	}
}

func echo(_ string, stream io.ReadWriteCloser) error {
	defer stream.Close()
	_, err := io.Copy(stream, stream)
	return err
}

func listen(names []string) {
	muxer := multistream.NewMultistreamMuxer[string]()
	for _, name := range names {
		muxer.AddHandler(name, echo)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	for {
		carrier, err := listener.Accept()
		check(err)
		session, err := yamux.Server(carrier, config())
		check(err)
		go func() {
			for {
				stream, err := session.Accept()
				if err != nil {
					return
				}
				go func() {
					if muxer.Handle(stream) != nil {
						stream.Close()
					}
				}()
			}
		}()
	}
}

func dial(address string, how string, names []string) {
	carrier, err := net.Dial("tcp", address)
	check(err)
	session, err := yamux.Client(carrier, config())
	check(err)
	stream, err := session.Open()
	check(err)
	agreed := names[0]
	var conversation io.ReadWriteCloser = stream
	if how == "lazy" {
		conversation = multistream.NewMSSelect(stream, agreed)
	} else {
		agreed, err = multistream.SelectOneOf(names, stream)
		check(err)
	}
	_, err = conversation.Write([]byte(question))
	check(err)
	answer := make([]byte, len(question))
	_, err = io.ReadFull(conversation, answer)
	check(err)
	check(conversation.Close())
	fmt.Println("agreed", agreed, string(answer))
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "listen" {
		listen(os.Args[2:])
	} else if len(os.Args) > 4 && os.Args[1] == "dial" {
		dial(os.Args[2], os.Args[3], os.Args[4:])
	} else {
		fmt.Fprintln(os.Stderr, "usage: multistream-peer listen NAME... | dial HOST:PORT select|lazy NAME...")
		os.Exit(2)
	}
}
