package main

import (
	"fmt"
	"sort"
	"strings"
)

type tree struct {
	left, right *tree
	key         string
}

func (t *tree) add(key string) *tree {
	if t == nil {
		return &tree{key: key}
	}
	if key < t.key {
		t.left = t.left.add(key)
	} else {
		t.right = t.right.add(key)
	}
	return t
}

func (t *tree) walk(visit func(string)) {
	if t != nil {
		t.left.walk(visit)
		visit(t.key)
		t.right.walk(visit)
	}
}

func round(seed uint32, done chan<- int) {
	var t *tree
	counts := map[string]int{}
	for i := 0; i < 60000; i++ {
		seed = seed*1664525 + 1013904223
		key := fmt.Sprintf("%08x", seed)
		t = t.add(key)
		counts[strings.ToUpper(key[:3])]++
	}
	var keys []string
	t.walk(func(key string) { keys = append(keys, key) })
	sort.Slice(keys, func(i, j int) bool { return keys[i][4:] < keys[j][4:] })
	done <- len(keys) + len(counts)
}

func main() {
	done := make(chan int)
	for i := 0; i < 72; i++ {
		go round(uint32(i), done)
	}
	sum := 0
	for i := 0; i < 72; i++ {
		sum += <-done
	}
	fmt.Println(sum)
}
