// Go's own stacks: goroutines, closures, a deferred call, a growing stack, the scheduler's system stack. shapes_go SECONDS (of CPU)
package main

import (
	"os"
	"sort"
	"strconv"
	"syscall"
	"time"
)

var sink uint64

// Of the process: what takes its CPUs away takes none of its work.
func cpu() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

//go:noinline
func spin(until time.Duration) {
	for cpu() < until {
		for i := 0; i < 1000000; i++ {
			sink += uint64(i)
		}
	}
}

//go:noinline
func grow(depth int, until time.Duration) uint64 {
	var frame [256]byte
	frame[depth&255] = byte(depth)
	if depth == 0 {
		spin(until)
		return uint64(frame[1])
	}
	return grow(depth-1, until) + uint64(frame[2])
}

//go:noinline
func closure(until time.Duration) {
	numbers := []int{3, 1, 2}
	sort.Slice(numbers, func(a, b int) bool {
		spin(until)
		return numbers[a] < numbers[b]
	})
}

//go:noinline
func body(until time.Duration, done chan bool) {
	grow(40, until)
	done <- true
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	until := cpu() + time.Duration(seconds*1e9)
	done := make(chan bool)
	go body(until, done)
	closure(until)
	<-done
}
