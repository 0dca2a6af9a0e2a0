// The page's modules that need no browser.

import assert from "node:assert/strict";
import { duration, points, range, share, span } from "../../web/page/src/format.js";
import { FlameLayout } from "../../web/page/src/flame_layout.js";
import { formatState, initialState, parseState, Store } from "../../web/page/src/state.js";
import { parseTime } from "../../web/page/src/time_text.js";
import { shortPath, visible } from "../../web/page/src/safe_text.js";
import { colorsOf, kindOf } from "../../web/page/src/colors.js";
import { measured, run, test } from "./tap.mjs";

process.env.TZ = "Europe/Berlin"; // clocks change there

test("times as people write them", () => {
	const now = new Date(2026, 10, 21, 12, 0, 0).getTime();
	const at = (text, ...parts) => assert.equal(parseTime(text, now), new Date(...parts).getTime(), text);
	assert.equal(parseTime("now", now), now);
	assert.equal(parseTime(" -15m ", now), now - 15 * 60e3);
	assert.equal(parseTime("-1h30m", now), now - 90 * 60e3);
	assert.equal(parseTime("-2d", now), now - 48 * 3600e3);
	assert.equal(parseTime("-1w", now), now - 7 * 86400e3);
	assert.equal(parseTime("@1795000000", now), 1795000000e3);
	assert.equal(parseTime("1795000000123", now), 1795000000123);
	at("03:14", 2026, 10, 21, 3, 14);
	at("3:14:15", 2026, 10, 21, 3, 14, 15);
	at("13:00", 2026, 10, 20, 13, 0); // not yet today: yesterday
	at("yesterday 03:14", 2026, 10, 20, 3, 14);
	at("2026-11-20", 2026, 10, 20);
	at("2026-11-20 03:14", 2026, 10, 20, 3, 14);
	at("2026-11-20T03:14:05", 2026, 10, 20, 3, 14, 5);
	assert.equal(parseTime("2026-11-20T03:14:05Z", now), Date.UTC(2026, 10, 20, 3, 14, 5));
	assert.equal(parseTime("2026-11-20 03:14:05+02:00", now), Date.UTC(2026, 10, 20, 1, 14, 5));
	// A day with 23 hours.
	const spring = new Date(2026, 2, 29, 12).getTime();
	assert.equal(parseTime("yesterday 12:00", spring), spring - 23 * 3600e3);
});

test("what is no time is refused with examples", () => {
	for (const text of ["", "soon", "-", "-15", "-15y", "25:00", "12:60", "2026-13-01", "2026-02-30", "2026-1-1", "@", "@x", "yesterday", "--1h", "1e99", "9".repeat(30)])
		assert.throws(() => parseTime(text, Date.now()), /is not a time. Write for example: now, -15m/, text);
});

test("numbers and shares", () => {
	assert.deepEqual([0, 999, 52.6e6, 1e9, 119e9, 120e9, 7200e9, -5e9].map(duration), ["0 s", "999 ns", "52.6 ms", "1.00 s", "119 s", "2.00 min", "2.00 h", "−5.00 s"]);
	assert.deepEqual([[0, 10], [1, 1e6], [1, 1000], [1, 3], [2, 3], [10, 10], [1, 0]].map(([a, b]) => share(a, b)), ["0 %", "<0.01 %", "0.10 %", "33.3 %", "66.7 %", "100 %", "0 %"]);
	assert.deepEqual([0, 0.1234, -0.5, 0.00001].map(points), ["0.00", "+12.3", "−50.0", "0.00"]);
	assert.deepEqual([59e3, 900e3, 5400e3, 172800e3].map(span), ["59 s", "15 min", "1 h 30 min", "2 d"]);
	assert.match(range(Date.now() - 1000, Date.now()), /\d\d:\d\d:\d\d – .*\d\d:\d\d:\d\d$/);
});

test("names lose what cannot be seen, and nothing else", () => {
	assert.equal(visible("std::vector<int>::push_back(int const&)"), "std::vector<int>::push_back(int const&)");
	assert.equal(visible("größe 函数 שלום 🔥"), "größe 函数 שלום 🔥");
	assert.equal(visible("a\nb\u001b[31m\u202ec\u200b\u2066"), "a\\u{a}b\\u{1b}[31m\\u{202e}c\\u{200b}\\u{2066}");
	assert.equal(visible("\ud800x\u{e0041}"), "\\u{d800}x\\u{e0041}");
	assert.equal(shortPath("/very/long/path/file.c", 10), "…th/file.c");
	assert.equal(shortPath("/a/b.c", 10), "/a/b.c");
});

test("the state survives the address", () => {
	const state = { ...initialState(), from: "1795000000000", to: "1795003600000", sel: [1795000000000, 1795000100000], base: [1794000000000, 1794000100000], view: "functions", side: "kernel",
		match: [["process", "a&b=c:d #+%\u00e9 x"], ["container", ""]], focus: "^foo\\(.*\\)+$", q: "a+b", zoom: "0123456789abcdef", sort: "total-up", dir: "flame", first: "none", fn: "operator<< <int>" };
	assert.deepEqual(parseState(`#${formatState(state)}`), state);
	assert.equal(formatState(initialState()), "");
	assert.deepEqual(parseState(""), initialState());
});

test("what an address says that cannot be is passed over", () => {
	const state = parseState("#from=soon&to=&view=<script>&sel=9..1&base=x&side=both&live=yes&nodes=-5&match=nocolon&unknown=1&sort=&dir=up&__proto__=1&constructor=2");
	assert.deepEqual(state, { ...initialState(), nodes: 100 });
	assert.equal(parseState(`#q=${"x".repeat(10000)}`).q.length, 4000);
	assert.equal(parseState(`#${"match=a:b&".repeat(50)}`).match.length, 8);
	assert.equal(parseState("#nodes=99999999").nodes, 200000);
	assert.doesNotThrow(() => parseState("#%E0%A4%A&q=%"));
});

test("each step of the state is a step of the history, typing is none", () => {
	const calls = [], listeners = {};
	const window = { location: { hash: "", pathname: "/", search: "" }, addEventListener: (name, f) => { listeners[name] = f; },
		history: { pushState: (a, b, url) => calls.push(["push", url]), replaceState: (a, b, url) => calls.push(["replace", url]) } };
	const store = new Store(window), seen = [];
	store.subscribe((state, before) => seen.push([before.q, state.q]));
	store.set({ view: "lines" });
	store.set({ q: "x" }, { silently: true });
	store.set({ q: "x" });
	assert.deepEqual(calls, [["push", "#view=lines"], ["replace", "#view=lines&q=x"]]);
	window.location.hash = "#view=lines";
	listeners.popstate();
	assert.equal(store.state.q, "");
	assert.deepEqual(seen, [["", ""], ["", "x"], ["x", ""]]);
});

// all(100) -> a(60) -> b(40) -> a(10); c(30) -> b(30)
const TABLES = { names: ["all", "a", "b", "c"], modules: ["", "libx"], files: [""] };
const NODES = { depth: [0, 1, 2, 3, 1, 2], name: [0, 1, 2, 1, 3, 2], module: [0, 1, 1, 1, 0, 0], file: [0, 0, 0, 0, 0, 0], kernel: [0, 0, 0, 0, 1, 1], total: [100, 60, 40, 10, 30, 30], self: [10, 20, 30, 10, 0, 30] };

test("a tree is laid out and walked", () => {
	const layout = new FlameLayout(NODES, TABLES, { total: 100 });
	assert.deepEqual([...layout.parent], [-1, 0, 1, 2, 0, 4]);
	assert.deepEqual([...layout.end], [6, 4, 4, 4, 6, 6]);
	assert.deepEqual([...layout.start], [0, 0, 0, 0, 60, 60]);
	assert.deepEqual(layout.levels.map(level => [...level]), [[0], [1, 4], [2, 5], [3]]);
	assert.deepEqual([layout.at(1, 0), layout.at(1, 59), layout.at(1, 60), layout.at(1, 95), layout.at(2, 45), layout.at(9, 0)], [1, 1, 4, -1, -1, -1]);
	assert.deepEqual([...layout.children(0)], [1, 4]);
	assert.deepEqual([layout.largestChild(0), layout.largestChild(3)], [1, -1]);
	assert.deepEqual([layout.neighbour(2, 1), layout.neighbour(5, -1), layout.neighbour(5, 1), layout.neighbour(2, 1, 1)], [5, 2, -1, -1]);
	assert.deepEqual(layout.path(3), [0, 1, 2, 3]);
	assert.deepEqual([layout.deepestBelow(0), layout.deepestBelow(4)], [3, 2]);
	for (let i = 0; i < layout.n; i++)
		assert.equal(layout.find(layout.pathId(i)), i);
	assert.deepEqual([layout.find("ffffffffffffffff"), layout.find("x")], [-1, -1]);
});

test("a path has the same id in another tree", () => {
	const one = new FlameLayout(NODES, TABLES);
	const other = new FlameLayout({ depth: [0, 1, 1, 2], name: [3, 0, 2, 1], module: [0, 0, 0, 0], file: [0, 0, 0, 0], kernel: [0, 0, 0, 0], total: [9, 4, 5, 5], self: [0, 4, 0, 5] },
		{ names: ["z", "b", "c", "all"], modules: [""], files: [""] });
	assert.equal(other.find(one.pathId(5)), 3);
});

test("a search counts what lies below several matches once", () => {
	const layout = new FlameLayout(NODES, TABLES);
	assert.equal(layout.search(/^a$/).total, 60);
	assert.equal(layout.search(/^a$/).frames, 2);
	assert.equal(layout.search(/b/).total, 70);
	assert.equal(layout.search(/all/).total, 0);
	assert.deepEqual(layout.search({ test: () => true }, { milliseconds: -1 }), { tooSlow: true });
});

test("in a comparison what is gone and what is new have room, and no change no colour", () => {
	const layout = new FlameLayout({ ...NODES, total: [100, 60, 40, 10, 0, 0], base_total: [200, 120, 80, 20, 60, 60], base_self: [20, 40, 60, 20, 0, 60] }, TABLES, { total: 100, baseTotal: 200 });
	assert.ok(layout.isDiff);
	assert.ok(Math.abs(layout.weight[4] - 0.3) < 1e-9);
	assert.ok(Math.abs(layout.change(4) + 0.3) < 1e-9);
	assert.equal(layout.change(1), 0);
	const colors = colorsOf(layout, false);
	assert.equal(colors[0], colors[1]);
	assert.ok(colors[4] < colors[0]);
});

test("frames have colours by what they are", () => {
	const layout = new FlameLayout(NODES, { ...TABLES, names: ["all", "[truncated: no_row]", "[libz.so+0x12]", "c"], modules: ["", "[jit]"] });
	assert.deepEqual([0, 1, 2, 4].map(i => kindOf(layout, i, false)), ["root", "marker", "jit", "kernel"]);
	assert.equal(kindOf(layout, 1, true), "process");
});

test("damaged trees are refused", () => {
	for (const depth of [[1], [0, 2], [0, 1, 3], [0, 0], [0, -1], []])
		assert.throws(() => new FlameLayout({ depth, name: depth, module: depth, file: depth, kernel: depth, total: depth, self: depth }, TABLES));
	assert.throws(() => new FlameLayout({ ...NODES, self: [1] }, TABLES), /column self/);
});

test("50,000 nodes are laid out, and in no time that grows with their square", () => {
	const n = 50000, column = () => new Array(n).fill(0);
	const nodes = { depth: column(), name: column(), module: column(), file: column(), kernel: column(), total: column().fill(1), self: column() };
	for (let i = 1; i < n; i++)
		nodes.depth[i] = 1 + (i - 1) % 40;
	const begin = process.cpuUsage().user;
	const layout = new FlameLayout(nodes, TABLES);
	colorsOf(layout, true);
	layout.pathId(n - 1);
	const spent = (process.cpuUsage().user - begin) / 1000;
	measured.push(`50,000 nodes are laid out in ${Math.round(spent)} ms of CPU time`);
	assert.ok(spent < 10000, `${spent} ms`);
});

run();
