// The keys and what is where, in a dialog.

import { button, h } from "./dom.js";

const KEYS = [
	["Everywhere", [["/", "search (in the table: filter)"], ["1 2 3 4", "flame graph, functions, sandwich, lines"], ["L", "live: follow now"], ["R", "look again"], ["?", "this help"], ["Esc", "close what is open; reset the zoom"], ["Tab", "all buttons and fields"]]],
	["Flame graph", [["↑ ↓", "caller, callee"], ["← →", "neighbours"], ["Enter", "zoom in"], ["Home", "back to the zoomed frame"], ["M", "actions: focus, hide, sandwich, lines, copy"],
		["F X H", "only stacks with it, none with it, hide it"], ["S N C", "sandwich, lines, copy the name"], ["click, right click", "zoom in, actions"]]],
	["Time line", [["drag", "choose a range"], ["Shift, drag", "choose what to compare with"], ["← →", "move"], ["Shift ← →", "choose a range, Enter takes it"], ["click outside", "all of it again"]]],
];

export function openHelp() {
	const close = () => dialog.close();
	const dialog = h("dialog", { class: "help", "aria-label": "Help", onclose: () => dialog.remove(), onclick: event => {
		if (event.target === dialog)
			close();
	} }, h("div", { class: "help-head" }, h("h2", {}, "Keys"), button({ icon: "close", label: "Close", onclick: close })),
	h("div", { class: "help-body" }, KEYS.map(([title, rows]) => h("section", {}, h("h3", {}, title),
		h("dl", {}, rows.map(([key, does]) => [h("dt", {}, key.split(" ").length > 1 && key.length < 9 ? key.split(" ").map(one => h("kbd", {}, one)) : h("kbd", {}, key)), h("dd", {}, does)]))))),
	h("p", { class: "hint" }, "The address of the page holds all that it shows: a bookmark or a link brings it back. Red to yellow frames are user code (each file its shade), blue is the kernel, green is code that a runtime made; grey frames are no functions."));
	document.body.append(dialog);
	dialog.showModal();
}
