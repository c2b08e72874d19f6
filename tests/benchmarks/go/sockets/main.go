// SPDX-FileCopyrightText: nfv.fastpath contributors
// SPDX-License-Identifier: GPL-3.0-or-later

// Sockets is a least server of vdpadpdk.VdpaDpdk to measure the node agent's against, and a client that loads either.
//
// Both messages have one text with the number 1, as the well-known StringValue has: on the wire they are the same.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	service = "vdpadpdk.VdpaDpdk"
	method  = "GetSocketpath"
)

func main() {
	usage := "usage: sockets serve SOCKET ADDRESS ANSWER | sockets ask SOCKET ADDRESS ANSWER CALLERS CALLS"
	if len(os.Args) < 5 {
		log.Fatal(usage)
	}
	path, address, answer := os.Args[2], os.Args[3], os.Args[4]
	switch {
	case os.Args[1] == "serve" && len(os.Args) == 5:
		log.Fatal(serve(path, map[string]string{address: answer}))
	case os.Args[1] == "ask" && len(os.Args) == 7:
		callers, err := strconv.Atoi(os.Args[5])
		if err != nil {
			log.Fatal(err)
		}
		calls, err := strconv.Atoi(os.Args[6])
		if err != nil {
			log.Fatal(err)
		}
		if err := measure(path, address, answer, callers, calls); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatal(usage)
	}
}

func serve(path string, known map[string]string) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	lookup := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		request := new(wrapperspb.StringValue)
		if err := decode(request); err != nil {
			return nil, err
		}
		return wrapperspb.String(known[request.Value]), nil
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: method, Handler: lookup}},
	}, nil)
	return server.Serve(listener)
}

// measure prints the seconds of all calls together, and the longest but one in a hundred.
func measure(path, address, answer string, callers, calls int) error {
	took := make([][]time.Duration, callers)
	failures := make([]error, callers)
	var group sync.WaitGroup
	began := time.Now()
	for number := range callers {
		group.Go(func() {
			took[number], failures[number] = ask(path, address, answer, calls)
		})
	}
	group.Wait()
	seconds := time.Since(began).Seconds()
	for _, failure := range failures {
		if failure != nil {
			return failure
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"seconds": seconds,
		"p50":     all[len(all)/2].Seconds(),
		"p99":     all[len(all)*99/100].Seconds(),
	})
}

// ask calls one after the other on a connection of its own. Like the first clients it says the socket's path as authority.
func ask(path, address, answer string, calls int) ([]time.Duration, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	connection, err := grpc.NewClient("passthrough:///"+path, grpc.WithContextDialer(dial), grpc.WithAuthority(path),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	took := make([]time.Duration, 0, calls)
	for range calls {
		began := time.Now()
		response := new(wrapperspb.StringValue)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := connection.Invoke(ctx, "/"+service+"/"+method, wrapperspb.String(address), response)
		cancel()
		if err != nil {
			return nil, err
		}
		if response.Value != answer {
			return nil, fmt.Errorf("%q and not %q", response.Value, answer)
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}
