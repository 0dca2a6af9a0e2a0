"""Write Go programs for a forest: goroutines, interface calls, closures, defer, generics, panics that are recovered."""
from tree import Forest

INNER = {"small": 5, "saved": 3, "large": 2, "defer": 3, "catcher": 2}
LEAF = {"tiny": 5, "large": 1, "format": 1, "map": 1, "append": 1, "defer": 1, "thrower": 1}
VIAS = {"direct": 4, "interface": 3, "closure": 3, "deferred": 2, "generic": 2, "sort": 1}

HEADER = r"""package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type shadow struct {
	depth int
	ids   [512]uint32
}

var checking bool
var comparisons atomic.Uint64
var deadline time.Time
var sources [16]int
var text string

func (s *shadow) enter(id uint32) {
	s.ids[s.depth&511] = id
	s.depth++
}

func (s *shadow) leave() { s.depth-- }

func over() bool { return !time.Now().Before(deadline) }

func work(n int, rounds int) int {
	for i := 0; i < rounds; i++ {
		n = n*25214903917 + 11
	}
	return n
}

// The caller's name plus one number is the callee's; the first name has one number.
//
//go:noinline
func (s *shadow) compare(id uint32) {
	agree := s.depth > 0 && s.ids[s.depth-1] == id && strings.Count(markers[s.ids[0]], "_") == 1
	for i := s.depth - 1; agree && i > 0; i-- {
		name := markers[s.ids[i]]
		agree = name[:strings.LastIndex(name, "_")] == markers[s.ids[i-1]]
	}
	if !agree {
		fmt.Fprintln(os.Stderr, "self-check: the shadow stack disagrees at", markers[id])
		os.Exit(3)
	}
	comparisons.Add(1)
}

//go:noinline
func apply(f func(int) int, n int) int { return f(n) + 1 }

func begin() {
	arguments := os.Args[1:]
	if len(arguments) > 0 && arguments[0] == "--self-check" {
		checking = true
		arguments = arguments[1:]
	}
	seconds := 1.0
	if len(arguments) > 0 {
		seconds, _ = strconv.ParseFloat(arguments[0], 64)
	}
	deadline = time.Now().Add(time.Duration(seconds * 1e9))
}

"""


def head(node):
    name = node.name
    if node.style == "entry":
        return f"func {name}(s *shadow, done *sync.WaitGroup)"
    return {"interface": f"func (o *S_{name}) {name}(s *shadow, n int) int",
            "generic": f"func {name}[T int | int32](s *shadow, m T) int"}.get(node.via, f"func {name}(s *shadow, n int) int")


def declaration(node):
    if node.via != "interface":
        return ""
    name = node.name
    return (f"type I_{name} interface{{ {name}(s *shadow, n int) int }}\ntype S_{name} struct{{ salt int }}\n"
            f"var object_{name} I_{name} = &S_{name}{{{node.number}}}\n")


def call(node):
    name = node.name
    statement = {
        "direct": f"acc += {name}(s, acc&1023)",
        "generic": f"acc += {name}[int](s, acc&1023)",
        "interface": f"acc += object_{name}.{name}(s, acc&1023)",
        "closure": f"acc += apply(func(x int) int {{ return {name}(s, x) + acc }}, acc&1023)",
        "deferred": f"func() {{ defer func() {{ acc += {name}(s, acc&1023) }}(); sources[8]++ }}()",
        "sort": f"keys := []int{{acc & 7, 3, acc & 31, 2, 1}}; sort.Slice(keys, func(i, j int) bool {{ r := {name}(s, keys[i]&1023); "
                "sources[9] += r & 1; return keys[i] < keys[j] }); acc += keys[2]",
    }[node.via]
    loop = f"for round := 0; round < {node.reps}; round++ " if node.reps > 1 else ""
    return f"\t{loop}{{ {statement} }}\n"


def body(node):
    number, size = node.number, 512 + node.detail % 3000
    text = f"//go:noinline\n{head(node)} {{\n"
    if node.style == "entry":
        text += "\tdefer done.Done()\n\tn := 1\n"
    if node.via == "generic":
        text += "\tn := int(m)\n"
    text += f"\ts.enter({number})\n" + ("\tdefer s.leave()\n" if node.style == "defer" else "")
    if node.children:
        text += f"\tif checking {{\n\t\ts.compare({number})\n\t}}\n"
    text += f"\tacc := work(n+{number}, {3 + node.detail % 12})\n"
    saved = 3 + node.detail % 8
    inside, after = {
        "large": (f"\tvar frame [{size}]byte\n\tframe[n&255] = byte(n)\n\tframe[acc&255]++\n", "\tacc += int(frame[n&511])\n"),
        "saved": ("".join(f"\ts{i} := sources[{i}] + n\n" for i in range(saved)), "\tacc += " + " ^ ".join(f"s{i}" for i in range(saved)) + "\n"),
        "format": ("\tacc += len(fmt.Sprintf(\"%d %s %.2f\", n, markers[0], float64(n)))\n", ""),
        "map": ("\tmap_ := map[int]int{}\n\tfor i := 0; i < 12; i++ {\n\t\tmap_[n*i&63] = i\n\t}\n\tacc += len(map_)\n", ""),
        "append": ("\tvar list []int\n\tfor i := 0; i < 20; i++ {\n\t\tlist = append(list, n+i)\n\t}\n\tacc += list[n&15]\n", ""),
        "thrower": ("\tif s.catchers() && work(acc, 1)>>16&3 == 0 {\n\t\tpanic(acc)\n\t}\n", ""),
    }.get(node.style, ("", ""))
    calls = "".join(call(child) for child in node.children)
    if node.style == "catcher":
        calls = ("\tdepth := s.depth\n\tfunc() {\n\t\tdefer func() {\n\t\t\tif thrown := recover(); thrown != nil {\n\t\t\t\ts.depth = depth\n"
                 "\t\t\t\tacc += thrown.(int) & 3\n\t\t\t}\n\t\t}()\n" + calls + "\t}()\n")
    if node.style == "entry":
        calls = "\tfor !over() {\n" + calls + "\t}\n"
    text += inside + calls + after
    text += "" if node.style == "defer" else "\ts.leave()\n"
    return text + ("\tsources[10] = acc\n}\n" if node.style == "entry" else "\treturn acc\n}\n")


def write(forest):
    nodes = forest.nodes
    entries = forest.by_style("entry")
    catchers = ", ".join(str(node.number) for node in forest.by_style("catcher"))
    text = HEADER + "var markers = []string{" + ", ".join(f"\"{node.name}\"" for node in nodes) + "}\n"
    text += f"var catching = map[uint32]bool{{{', '.join(f'{n}: true' for n in catchers.split(', ') if n)}}}\n"
    text += """
// Is there a frame that recovers?
func (s *shadow) catchers() bool {
	for i := s.depth - 1; i >= 0; i-- {
		if catching[s.ids[i]] {
			return true
		}
	}
	return false
}

"""
    text += "".join(declaration(node) for node in nodes)
    order = list(nodes)
    forest.rng.shuffle(order)
    text += "\n".join(body(node) for node in order)
    starts = "".join(f"\tdone.Add(1)\n\tgo {node.name}(new(shadow), &done)\n" for node in entries)
    return text + ("\nfunc main() {\n\tbegin()\n\ts, acc := new(shadow), len(os.Args)\n\tvar done sync.WaitGroup\n" + starts + "\tfor !over() {\n"
                   + call(nodes[0]) + "\t}\n\tdone.Wait()\n\tif checking {\n\t\tfmt.Println(\"self-check:\", comparisons.Load(), \"comparisons agree\")\n"
                   "\t}\n\ttext = strconv.Itoa(acc)\n}\n")


def tree():
    """One tree in main, two in goroutines."""
    forest = Forest("go-tree")
    nodes = forest.grow("t_0", "main", 90, 20)
    forest.dress(nodes, INNER, LEAF, (8, 30))
    entries = []
    for i in (1, 2):
        goroutine = forest.grow(f"t_{i}", None, 50, 6 + 8 * i)
        forest.dress(goroutine, INNER, LEAF, (8, 30))
        goroutine[0].style = "entry"
        entries.append(goroutine[0])
    for node in forest.nodes:
        if node.parent:
            node.via = forest.rng.choices(list(VIAS), list(VIAS.values()))[0]
        if node.via in ("sort", "deferred") and len(node.children) > 1:
            node.via = "closure"
        if node.style == "thrower":
            node.reps = 1
    nodes[0].style = "catcher"
    return forest


PROGRAMS = {"go-tree": tree}
