// Go's own stacks: goroutines, closures, a deferred call, a growing stack, the scheduler's system stack. shapes_go SECONDS
package main

import (
	"os"
	"sort"
	"strconv"
	"time"
)

var sink uint64

//go:noinline
func spin(until time.Time) {
	for time.Now().Before(until) {
		for i := 0; i < 100000; i++ {
			sink += uint64(i)
		}
	}
}

//go:noinline
func grow(depth int, until time.Time) uint64 {
	var frame [256]byte
	frame[depth&255] = byte(depth)
	if depth == 0 {
		spin(until)
		return uint64(frame[1])
	}
	return grow(depth-1, until) + uint64(frame[2])
}

//go:noinline
func closure(until time.Time) {
	numbers := []int{3, 1, 2}
	sort.Slice(numbers, func(a, b int) bool {
		spin(until)
		return numbers[a] < numbers[b]
	})
}

//go:noinline
func body(until time.Time, done chan bool) {
	grow(40, until)
	done <- true
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	until := time.Now().Add(time.Duration(seconds * 1e9))
	done := make(chan bool)
	go body(until, done)
	closure(until)
	<-done
}
