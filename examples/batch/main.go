// Batch verifies the messages in files, several at once, and prints one line for each. The
// envelope is not in the file: SPF is not evaluated.
//
//	go run ./batch FILE...
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"runtime"
	"sync"

	"postseal"
	"postseal/resolver/stub"
)

func main() {
	dns, err := stub.System()
	if err != nil {
		log.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{Resolver: dns, NoHeaders: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range verify(context.Background(), v, os.Args[1:]) {
		fmt.Println(line)
	}
}

// verify returns a line for each file, in their order.
func verify(ctx context.Context, v *postseal.Verifier, files []string) []string {
	lines := make([]string, len(files))
	free := make(chan struct{}, 4*runtime.NumCPU()) // mostly they wait for the DNS
	var all sync.WaitGroup
	for i, name := range files {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			lines[i] = name + ": " + one(ctx, v, name)
		})
	}
	all.Wait()
	return lines
}

func one(ctx context.Context, v *postseal.Verifier, name string) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	report, err := postseal.VerifyReader(ctx, v, postseal.Conn{UnknownSender: true}, "", "", f)
	if err != nil {
		return err.Error()
	}
	return report.String()
}
