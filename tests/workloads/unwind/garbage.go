// Trees that are thrown away: the collector works on system stacks, in its own goroutines and in the program's. garbage_go SECONDS (of CPU)
package main

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

type node struct{ left, right *node }

var tree *node

// Of the process: what takes its CPUs away takes none of its work.
func cpu() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

//go:noinline
func build(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{build(depth - 1), build(depth - 1)}
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	until := cpu() + time.Duration(seconds*float64(time.Second))
	for cpu() < until {
		tree = build(16)
	}
}
