// What the page shows, and the same as the part of the address behind "#": a link to the page is the page. It never goes to the
// server, so it may be long, and a log-in in between does not lose it.

import { parseTime } from "./time_text.js";

const DEFAULTS = {
	from: "-1h", // texts of time_text.js, or milliseconds
	to: "now",
	sel: null, // the range chosen on the time line, [from, to] in milliseconds; null: all of it
	base: null, // what is compared with
	live: false,
	view: "flame",
	by: "process", // whose time line
	match: [], // [key, value]
	side: "",
	focus: "",
	ignore: "",
	hide: "",
	show: "",
	fn: "", // the function of the sandwich and of the lines
	zoom: "", // FlameLayout.pathId()
	q: "", // search in the flame graph
	text: "", // filter of the table
	sort: "self",
	dir: "icicle",
	first: "process",
	nodes: 50000,
	type: "",
};

const CHOICES = {
	view: ["flame", "functions", "sandwich", "lines"],
	side: ["", "user", "kernel"],
	sort: ["self", "total", "name", "self-up", "total-up", "name-up", "change", "change-up"],
	dir: ["icicle", "flame"],
	first: ["process", "none"],
};
const MAX_TEXT = 4000;
const MAX_MATCHES = 8;
export const REGEXES = ["focus", "ignore", "hide", "show"];

export const initialState = () => ({ ...DEFAULTS, match: [] });

// A pair of times "FROM..TO" in milliseconds.
function parseRange(text) {
	const found = /^(\d{1,15})\.\.(\d{1,15})$/.exec(text);
	return found && Number(found[1]) < Number(found[2]) ? [Number(found[1]), Number(found[2])] : null;
}

function time(text, otherwise) {
	try {
		parseTime(text, Date.now());
		return text;
	} catch {
		return otherwise;
	}
}

// Whatever stands in the address becomes a valid state: what is not understood is left at its default.
export function parseState(hash) {
	const state = initialState();
	for (const [key, written] of new URLSearchParams(hash.replace(/^#/, "").replaceAll("+", "%2B"))) {
		const text = written.slice(0, MAX_TEXT);
		const colon = text.indexOf(":");
		if (key === "match") {
			if (colon > 0 && state.match.length < MAX_MATCHES)
				state.match.push([text.slice(0, colon), text.slice(colon + 1)]);
		} else if (key === "sel" || key === "base")
			state[key] = parseRange(text);
		else if (key === "from" || key === "to")
			state[key] = time(text, DEFAULTS[key]);
		else if (key === "live")
			state.live = text === "1";
		else if (key === "nodes")
			state.nodes = Math.min(200000, Math.max(100, Number(text) || DEFAULTS.nodes));
		else if (Object.hasOwn(CHOICES, key))
			state[key] = CHOICES[key].includes(text) ? text : DEFAULTS[key];
		else if (Object.hasOwn(DEFAULTS, key))
			state[key] = text;
	}
	return state;
}

// Only what is not the default, and readable where an address allows it.
export function formatState(state) {
	const parts = [];
	const add = (key, text) => parts.push(`${key}=${encodeURIComponent(text).replace(/%(3A|2C|2F|20|40|5B|5D)/g,
		(all, code) => code === "20" ? "%20" : String.fromCharCode(parseInt(code, 16)))}`);
	for (const key of Object.keys(DEFAULTS)) {
		const now = state[key];
		if (key === "match")
			now.forEach(([k, v]) => add("match", `${k}:${v}`));
		else if (key === "sel" || key === "base") {
			if (now)
				add(key, `${now[0]}..${now[1]}`);
		} else if (now !== DEFAULTS[key])
			add(key, now === true ? "1" : String(now));
	}
	return parts.join("&");
}

// The state and who wants to know of its changes. A change is a step of the browser's history, unless it is one of many while
// somebody types.
export class Store {
	constructor(window) {
		this.window = window;
		this.state = parseState(window.location.hash);
		this.listeners = [];
		const moved = () => this.take(parseState(window.location.hash));
		window.addEventListener("popstate", moved);
		window.addEventListener("hashchange", moved);
	}

	take(state) {
		if (formatState(state) === formatState(this.state))
			return;
		const before = this.state;
		this.state = state;
		this.listeners.forEach(listener => listener(state, before));
	}

	set(patch, { silently = false } = {}) {
		const next = { ...this.state, ...patch };
		const text = formatState(next);
		if (text === formatState(this.state))
			return;
		const url = text ? `#${text}` : this.window.location.pathname + this.window.location.search;
		this.window.history[silently ? "replaceState" : "pushState"](null, "", url);
		this.take(next);
	}

	subscribe(listener) {
		this.listeners.push(listener);
	}
}
