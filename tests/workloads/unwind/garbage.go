// Trees that are thrown away: the collector works on system stacks, in its own goroutines and in the program's. garbage_go SECONDS
package main

import (
	"os"
	"strconv"
	"time"
)

type node struct{ left, right *node }

var tree *node

//go:noinline
func build(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{build(depth - 1), build(depth - 1)}
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for time.Now().Before(until) {
		tree = build(16)
	}
}
