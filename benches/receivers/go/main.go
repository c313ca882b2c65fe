// What `receive_c receive` does, in Go, and what many clients that wait cost.
//
//	receive_go receive EVENT COUNT [look]
//	receive_go wait EVENT CLIENTS            the threads of a process with so many clients
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"syscall"
	"time"

	"dotsock"
)

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: receive_go receive|wait EVENT COUNT [look]")
	}
	count, err := strconv.Atoi(os.Args[3])
	if err == nil && os.Args[1] == "wait" {
		err = wait(os.Args[2], count)
	} else if err == nil {
		err = receive(os.Args[2], count, len(os.Args) > 4)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func receive(event string, count int, look bool) error {
	ctx := context.Background()
	client, err := dotsock.Dial(ctx, event)
	if err != nil {
		return err
	}
	defer client.Close()
	var start time.Duration
	received, sum := 0, 0
	for msg, err := range client.Messages(ctx) {
		if err != nil {
			return err
		}
		if received == count/10 {
			start = cpuTime()
		}
		if look {
			var payload struct {
				Progress int `json:"progress"`
			}
			if err := msg.Decode(&payload); err != nil {
				return err
			}
			sum += payload.Progress
		}
		if received++; received == count {
			break
		}
	}
	used := cpuTime() - start
	if look && sum != 50*count {
		return fmt.Errorf("payloads were not what was sent")
	}
	fmt.Printf("%.3f\n", float64(used.Nanoseconds())/1e3/float64(count-count/10))
	return nil
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func wait(event string, clients int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range clients {
		client, err := dotsock.Dial(ctx, event)
		if err != nil {
			return err
		}
		go func() {
			for range client.Messages(ctx) {
			}
		}()
	}
	time.Sleep(time.Second)
	threads, err := os.ReadDir("/proc/self/task")
	fmt.Println(len(threads))
	return err
}
