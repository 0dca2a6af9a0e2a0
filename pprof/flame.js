// The flame graph's behaviour: details, zoom, search. Runs inside the SVG, from a file, without network.
"use strict";
(function () {
	const root = document.documentElement;
	const frames = Array.from(document.querySelectorAll("g.f"));
	const details = document.getElementById("details");
	const matched = document.getElementById("matched");
	const reset = document.getElementById("reset");
	const search = document.getElementById("search");
	const left = Number(root.dataset.left), width = Number(root.dataset.width), total = Number(root.dataset.total);
	const charWidth = Number(root.dataset.char);
	const idle = details.textContent;
	let pattern = null;

	const nodes = frames.map(function (g) {
		return {
			g: g, rect: g.querySelector("rect"), text: g.querySelector("text"),
			title: g.querySelector("title").textContent,
			start: Number(g.dataset.s), value: Number(g.dataset.v), depth: Number(g.dataset.d),
			name: g.dataset.n,
		};
	});

	function fit(name, pixels) {
		const room = Math.floor((pixels - 6) / charWidth);
		if (room < 3)
			return "";
		return name.length <= room ? name : name.slice(0, room - 2) + "..";
	}

	// Show what lies under one frame over the whole width, its callers below it, and hide the rest.
	function zoom(to) {
		const start = to ? to.start : 0, value = to ? to.value : total;
		for (const node of nodes) {
			const inside = node.start >= start && node.start + node.value <= start + value &&
				(!to || node.depth >= to.depth);
			const caller = to && node.depth < to.depth && node.start <= start &&
				node.start + node.value >= start + value;
			node.g.classList.toggle("caller", Boolean(caller));
			const x = caller ? left : left + (node.start - start) / value * width;
			const w = caller ? width : node.value / value * width;
			const shown = (inside && w >= 0.1) || caller;
			node.g.style.display = shown ? "" : "none";
			if (!shown)
				continue;
			node.rect.setAttribute("x", x.toFixed(2));
			node.rect.setAttribute("width", Math.max(0.1, w).toFixed(2));
			node.text.setAttribute("x", (x + 3).toFixed(2));
			node.text.textContent = fit(node.name, w);
		}
		reset.style.visibility = to && to.depth > 0 ? "visible" : "hidden";
	}

	// Mark the names that match; their share counts what lies under several matches once.
	function find(text) {
		pattern = null;
		if (text) {
			try {
				pattern = new RegExp(text, "i");
			} catch (error) {
				matched.textContent = "not a regular expression: " + text;
			}
		}
		let sum = 0, end = -1;
		const hits = [];
		for (const node of nodes) {
			const hit = pattern !== null && node.depth > 0 && pattern.test(node.name);
			node.g.classList.toggle("hit", hit);
			if (hit)
				hits.push(node);
		}
		hits.sort(function (a, b) { return a.start - b.start || b.value - a.value; });
		for (const node of hits) {
			const from = Math.max(node.start, end), to = node.start + node.value;
			if (to > from)
				sum += to - from;
			end = Math.max(end, to);
		}
		if (pattern !== null)
			matched.textContent = "matched: " + (100 * sum / total).toFixed(2) + " %";
		else if (!text)
			matched.textContent = "";
		search.textContent = pattern !== null ? "clear search" : "search";
	}

	function ask() {
		if (pattern !== null) {
			find("");
			return;
		}
		const text = window.prompt("Regular expression to search for in function names", "");
		if (text)
			find(text);
	}

	for (const node of nodes) {
		node.g.addEventListener("mouseenter", function () { details.textContent = node.title; });
		node.g.addEventListener("mouseleave", function () { details.textContent = idle; });
		node.g.addEventListener("focus", function () { details.textContent = node.title; });
		node.g.addEventListener("click", function () { zoom(node); });
		node.g.addEventListener("keydown", function (event) {
			if (event.key === "Enter" || event.key === " ") {
				event.preventDefault();
				zoom(node);
			}
		});
	}
	reset.addEventListener("click", function () { zoom(null); });
	search.addEventListener("click", ask);
	for (const button of [reset, search])
		button.addEventListener("keydown", function (event) {
			if (event.key === "Enter")
				button.dispatchEvent(new Event("click"));
		});
	window.addEventListener("keydown", function (event) {
		if (event.key === "Escape") {
			zoom(null);
		} else if (event.key === "F3" || ((event.ctrlKey || event.metaKey) && event.key === "f")) {
			event.preventDefault();
			ask();
		}
	});
	// file.svg#s=PATTERN opens with that search.
	const wanted = /[#&]s=([^&]*)/.exec(window.location.hash);
	if (wanted)
		find(decodeURIComponent(wanted[1]));
	search.style.visibility = "visible";
})();
