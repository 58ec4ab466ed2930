// The hello server in Go, for clusterd: serves HTTP on the listening socket
// that clusterd has bound and passed in.
//
//	go build -o hello-go hello.go && clusterd -c hello-go.ini
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	fd, err := strconv.Atoi(strings.Split(os.Getenv("CLUSTERD_FD"), ",")[0])
	if err != nil {
		log.Fatal("usage: clusterd -p PORT -- ./hello-go")
	}
	listener, err := net.FileListener(os.NewFile(uintptr(fd), "CLUSTERD_FD"))
	if err != nil {
		log.Fatal(err)
	}
	hello := fmt.Sprintf("hello from instance %s, pid %d\n", os.Getenv("CLUSTERD_INSTANCE"), os.Getpid())
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, hello)
	}), ReadHeaderTimeout: 5 * time.Second} // so half a request cannot hold up a stop
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	go server.Serve(listener)

	// What sd_notify(3) does; an address with a leading '@' is abstract for Go too.
	if c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET")); err == nil {
		fmt.Fprint(c, "READY=1")
	}

	// A graceful stop: accepts no more, closes idle connections, finishes the rest.
	<-stop.Done()
	// Only clusterd's stop_timeout ends its patience.
	server.Shutdown(context.Background())
}
