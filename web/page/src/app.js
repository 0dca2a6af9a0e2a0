// The page: what is asked of the server for a state, and who shows the answers.

import { apiPath, ask, fetchFile, Question } from "./api.js";
import { button, h, replace } from "./dom.js";
import { themeOf } from "./colors.js";
import { Filters, withMatch } from "./filters.js";
import { FlameView } from "./flame_view.js";
import { bytes, dateTime, range, span } from "./format.js";
import { Tooltip } from "./frame_facts.js";
import { openHelp } from "./help.js";
import { openMenu, say } from "./menu.js";
import { RangeBar } from "./range_bar.js";
import { FunctionPicker, SandwichView } from "./sandwich_view.js";
import { initialState, REGEXES, Store } from "./state.js";
import { Summary } from "./summary.js";
import { FunctionsView, LinesView } from "./tables.js";
import { Timeline } from "./timeline.js";
import { parseTime } from "./time_text.js";
import { visible } from "./safe_text.js";

const VIEWS = [["flame", "Flame graph"], ["functions", "Functions"], ["sandwich", "Sandwich"], ["lines", "Lines"]];
const MAX_NODES = 200000;
const MOST_BUCKETS = 300;
const REGEX_MAX = 1000;
const CLOCK_MS = 2000;
const SHORT_MS = 15 * 60e3;
const THEME_KEY = "hearth-theme";

// As a regular expression that matches this name only.
const exactly = name => {
	const escaped = name.replace(/[\\^$.*+?()[\]{}|#-]/g, "\\$&");
	return escaped.length <= REGEX_MAX ? `^${escaped}$` : `^${escaped.slice(0, REGEX_MAX).replace(/\\+$/, "")}`;
};

export class App {
	constructor(root) {
		this.root = root;
		this.store = new Store(window);
		this.choosesBase = false;
		this.clockOffset = 0;
		this.status = null;
		this.resolveNow();
		this.build();
		this.questions();
		this.store.subscribe((state, before) => this.changed(state, before));
		document.addEventListener("keydown", event => this.key(event));
		document.addEventListener("visibilitychange", () => document.hidden || this.schedule());
		window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.applyTheme());
	}

	// --- the page --------------------------------------------------------------------------------------------

	build() {
		const { store } = this;
		this.tooltip = new Tooltip();
		const actions = (name, options) => this.actions(name, options);
		this.timeline = new Timeline({ on: { choose: (sel, isBase) => this.choose(sel, isBase), by: by => store.set({ by }),
			filter: label => store.set({ match: withMatch(store.state.match, store.state.by, label), zoom: "" }) } });
		this.rangeBar = new RangeBar(this);
		this.filters = new Filters(this);
		this.summary = new Summary({ on: { more: () => store.set({ nodes: MAX_NODES }), hasMore: () => store.state.nodes < MAX_NODES } });
		this.pickers = [new FunctionPicker({ store }), new FunctionPicker({ store })];
		this.views = {
			flame: new FlameView({ store, tooltip: this.tooltip, actions }),
			functions: new FunctionsView({ store, actions, on: { more: () => this.moreFunctions() } }),
			sandwich: new SandwichView({ store, tooltip: this.tooltip, actions, picker: this.pickers[0] }),
			lines: new LinesView({ store, picker: this.pickers[1] }),
		};
		this.functionsLimit = 500;
		this.tabs = VIEWS.map(([view, text]) => h("button", { type: "button", role: "tab", id: `tab-${view}`, "aria-controls": `view-${view}`, onclick: () => store.set({ view }) }, text));
		const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Views", onkeydown: event => this.tabKey(event) }, this.tabs);
		for (const [view] of VIEWS) {
			const { element } = this.views[view];
			element.id = `view-${view}`;
			element.setAttribute("role", "tabpanel");
			element.setAttribute("aria-labelledby", `tab-${view}`);
		}
		this.downloads = button({ icon: "download", text: "Download", "aria-haspopup": "menu", onclick: () => this.download() });
		this.host = h("span", { class: "host" });
		this.agent = h("span", { class: "agent" });
		replace(this.root,
			h("header", { class: "top" }, h("a", { class: "logo", href: "#", title: "Start again", onclick: event => {
				event.preventDefault();
				store.set({ ...initialState(), match: [] });
			} }, h("span", { class: "flame-mark", "aria-hidden": "true" }), "hearth"), this.host, this.agent, h("span", { class: "space" }),
			button({ icon: "link", text: "Copy link", label: "Copy a link to what is shown", onclick: () => this.share() }), this.downloads,
			this.themeButton = button({ icon: "theme", label: "Dark or light", onclick: () => this.switchTheme() }),
			button({ text: "?", label: "Help: keys", onclick: openHelp })),
			h("main", {}, this.rangeBar.element, this.timeline.element,
				h("div", { class: "tab-row" }, tabs, this.filters.element), this.summary.element, VIEWS.map(([view]) => this.views[view].element)));
		this.applyTheme();
	}

	tabKey(event) {
		const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
		if (!step)
			return;
		const at = VIEWS.findIndex(([view]) => view === this.store.state.view), next = (at + step + VIEWS.length) % VIEWS.length;
		this.store.set({ view: VIEWS[next][0] });
		this.tabs[next].focus();
	}

	// --- themes ----------------------------------------------------------------------------------------------

	get theme() {
		let chosen = null;
		try {
			chosen = localStorage.getItem(THEME_KEY);
		} catch { /* storage may be forbidden */ }
		return chosen === "dark" || chosen === "light" ? chosen : window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
	}

	applyTheme() {
		document.documentElement.dataset.theme = this.theme;
		const theme = themeOf(this.theme);
		[this.timeline, this.views.flame, this.views.sandwich].forEach(part => part.setTheme(theme));
	}

	switchTheme() {
		try {
			localStorage.setItem(THEME_KEY, this.theme === "dark" ? "light" : "dark");
		} catch { /* then it stays as the system has it */ }
		this.applyTheme();
	}

	// --- time ------------------------------------------------------------------------------------------------

	// The server's clock: ranges are asked for in its time.
	now() {
		return Date.now() + this.clockOffset;
	}

	// "now" stands still until it is asked for again, so that all parts of the page show one and the same range.
	resolveNow() {
		this.resolved = Math.floor(this.now() / 1000) * 1000;
	}

	range() {
		const { from, to, sel } = this.store.state;
		const parse = (text, otherwise) => {
			try {
				return parseTime(text, this.resolved);
			} catch {
				return otherwise;
			}
		};
		const a = parse(from, this.resolved - 3600e3), b = parse(to, this.resolved);
		return a < b ? { from: a, to: b, sel } : { from: b - 1000, to: b, sel };
	}

	chosen() {
		const { from, to, sel } = this.range();
		return sel || [from, to];
	}

	choose(sel, isBase) {
		const { from, to } = this.range(), { store } = this;
		const fixed = { from: String(from), to: String(to), live: false };
		this.choosesBase = false;
		if (isBase)
			store.set({ ...fixed, base: sel, sel: store.state.sel, zoom: "" });
		else
			store.set(sel ? { ...fixed, sel } : { sel: null });
		this.follow(store.state, store.state);
	}

	chooseBase(on) {
		this.choosesBase = on;
		this.follow(this.store.state, this.store.state);
		if (on)
			this.timeline.plotBox.focus();
	}

	// The time line grows so that both ranges are on it.
	compareBack(by) {
		const { from, to } = this.range(), [a, b] = this.chosen(), base = [a - by, b - by];
		this.store.set({ from: String(Math.min(from, base[0])), to: String(to), live: false, sel: [a, b], base, zoom: "" });
	}

	// --- questions -------------------------------------------------------------------------------------------

	questions() {
		const of = (panel, onAnswer) => new Question({ onLoading: () => panel.loading(), onAnswer, onError: error => this.failed(panel, error) });
		this.ask = {
			timeline: of(this.timeline, answer => this.showTimeline(answer)),
			summary: new Question({ onLoading() {}, onAnswer: answer => this.summary.show(answer), onError: () => this.summary.clear() }),
			flame: of(this.views.flame, answer => {
				this.summary.show(answer, { isDrawn: true });
				this.suggest(answer.names);
				if (!this.emptyAnswer(this.views.flame, answer))
					this.views.flame.show(answer);
			}),
			functions: of(this.views.functions, answer => {
				this.suggest(answer.functions.map(row => row.name));
				if (!this.emptyAnswer(this.views.functions, answer))
					this.views.functions.show(answer, this.store.state.base !== null);
			}),
			sandwich: of(this.views.sandwich, answer => {
				if (answer.function_total > 0 || answer.function_base_total > 0)
					this.views.sandwich.show(answer);
				else
					this.views.sandwich.empty({ title: "This function does not occur here", text: "Choose another range, remove filters, or choose another function." });
			}),
			lines: of(this.views.lines, answer => this.views.lines.show(answer)),
		};
	}

	common([from, to]) {
		const { state } = this.store;
		return [["from", from], ["to", to], ["type", state.type], ...state.match.map(([key, value]) => ["match", `${key}:${value}`]), ["side", state.side],
			...REGEXES.map(key => [key, state[key]])];
	}

	// Buckets are whole windows: those of the last hour are as long as they were recorded, older ones are merged to a minute, then to ten.
	buckets({ from, to }) {
		const age = this.now() - from, { store, agent } = this.status ?? {};
		const kept = store?.windows > 0 ? (store.to_ms - store.from_ms) / store.windows : Infinity; // without an agent nobody tells
		const recorded = agent?.window_s ? agent.window_s * 1000 : Math.max(1000, Math.min(10e3, kept));
		const window_ms = Math.max(recorded, age > 26 * 3600e3 ? 600e3 : age > 1.2 * 3600e3 ? 60e3 : 0);
		const width = this.timeline.plotBox.clientWidth || 900;
		const most = Math.max(20, Math.min(MOST_BUCKETS, Math.floor(width / 3)));
		const step = Math.max(1, Math.ceil((to - from) / most / window_ms)) * window_ms;
		return Math.max(1, Math.min(MOST_BUCKETS, Math.round((to - from) / step)));
	}

	// What the state needs is asked; what is there already is not asked again.
	update({ again = false } = {}) {
		const { state } = this.store, whole = this.range(), chosen = this.chosen();
		const options = { again };
		this.ask.timeline.ask(apiPath("timeline", [...this.common([whole.from, whole.to]), ["by", state.by], ["buckets", this.buckets(whole)], ["top", 15]]), options);
		const tree = [["max_nodes", state.nodes], ["first", state.first]];
		const base = state.base && [["base_from", state.base[0]], ["base_to", state.base[1]]];
		const flame = base ? apiPath("diff", [...this.common(chosen), ...base, ...tree]) : apiPath("flame", [...this.common(chosen), ...tree]);
		for (const view of ["functions", "sandwich", "lines"])
			if (view !== state.view)
				this.ask[view].abort();
		switch (state.view) {
		case "flame":
			this.ask.summary.abort();
			this.ask.flame.ask(flame, options);
			return;
		case "functions":
			this.ask.functions.ask(base ? flame : apiPath("functions", [...this.common(chosen), ["sort", state.sort.startsWith("total") ? "total" : "self"],
				["limit", this.functionsLimit], ["search", state.text]]), options);
			break;
		case "sandwich":
		case "lines":
			this.askFunction(state.view, chosen, state.view === "sandwich" ? base : null, options);
			break;
		}
		this.ask.flame.forget();
		this.ask.summary.ask(base ? flame : apiPath("flame", [...this.common(chosen), ["max_nodes", 100], ["first", state.first]]), options);
	}

	askFunction(view, chosen, base, options) {
		const { fn } = this.store.state;
		this.pickers.forEach(picker => picker.set(fn));
		if (!fn) {
			this.ask[view].forget();
			this.views[view].empty({ title: "Choose a function", text: "Type its name above, or pick it in the flame graph or the table of functions.",
				actions: [{ text: "Open the table of functions", does: () => this.store.set({ view: "functions" }), primary: true }] });
			if (!this.suggested)
				this.suggestFromServer(chosen);
			return;
		}
		this.ask[view].ask(apiPath(view, [...this.common(chosen), ...base ?? [], ["function", fn]]), options);
	}

	async suggestFromServer(chosen) {
		try {
			const answer = await ask(apiPath("functions", [...this.common(chosen), ["limit", 300]]), new AbortController().signal);
			this.suggest(answer.functions.map(row => row.name));
		} catch { /* without suggestions */ }
	}

	suggest(names) {
		this.suggested = true;
		this.pickers.forEach(picker => picker.suggest(names));
	}

	moreFunctions() {
		this.functionsLimit = Math.min(10000, this.functionsLimit * 4);
		this.update();
	}

	// What else can be chosen: of one label all values, whichever is chosen of it now.
	labels(signal, ofKey) {
		const { match } = this.store.state;
		const others = this.common(this.chosen()).filter(([key, text]) => key !== "match" || !ofKey || !text.startsWith(`${ofKey}:`));
		return !ofKey || match.some(([key]) => key === ofKey) ? ask(apiPath("labels", others), signal) : null;
	}

	// --- answers ---------------------------------------------------------------------------------------------

	showTimeline(answer) {
		if (answer.series.length === 0 && !(answer.other && answer.other.total))
			this.timeline.empty(() => ({ title: this.nothingHere().title })); // the view below says what to do
		else
			this.timeline.show(answer);
		this.mark();
	}

	emptyAnswer(panel, answer) {
		if (answer.total > 0 || answer.base_total > 0)
			return false;
		panel.empty(() => this.nothingHere());
		return true;
	}

	// Why there is nothing, and what to do.
	nothingHere() {
		const { store, status } = this, { state } = store, { from, to } = this.range();
		const filtered = state.match.length > 0 || state.side || REGEXES.some(key => state[key]);
		const has = status?.store;
		if (has && has.exists === false)
			return { title: "There is no store yet", text: "Windows are kept where an agent writes them. Start one on this machine:", code: "sudo hearth agent", actions: [this.again()] };
		if (has && has.windows === 0)
			return { title: "No windows yet", text: `The first one is written ${span((status.agent?.window_s || 10) * 1000)} after the agent's start. The page looks again by itself.`,
				actions: [this.again()] };
		if (filtered)
			return { title: "Nothing matches the filters in this range", text: "Take a filter away, or choose a longer range.",
				actions: [{ text: "Remove all filters", primary: true, does: () => store.set({ match: [], side: "", focus: "", ignore: "", hide: "", show: "", zoom: "" }) }] };
		const actions = [];
		if (has && has.windows > 0 && (has.to_ms < from || has.from_ms > to))
			actions.push({ text: "Show the last hour that is stored", primary: true, does: () =>
				store.set({ from: String(Math.max(has.from_ms, has.to_ms - 3600e3)), to: String(has.to_ms), sel: null, base: null, live: false }) });
		return { title: `Nothing was recorded ${range(from, to)}`, text: has && has.windows > 0 ? `The store has windows from ${dateTime(has.from_ms)} to ${dateTime(has.to_ms)}.` : "", actions: [...actions, this.again()] };
	}

	again() {
		return { text: "Look again", does: () => this.refresh() };
	}

	failed(panel, error) {
		const actions = [{ text: "Try again", primary: true, does: () => this.refresh() }];
		if (error.status === 0)
			panel.empty({ title: "The server does not answer", text: "The page comes from the agent on this machine. Is it running?", code: "sudo hearth agent", actions, isError: true });
		else if (error.status === 401 || error.status === 403)
			panel.empty({ title: "You are not logged in", text: error.message, actions: [{ text: "Log in", primary: true, does: () => window.location.reload() }], isError: true });
		else if (error.status === 404 && this.status?.store?.exists === false)
			panel.empty(() => this.nothingHere());
		else if (error.status === 503)
			panel.empty({ title: "The server is busy", text: error.message, actions, isError: true });
		else
			panel.empty({ title: "This cannot be shown", text: visible(error.message), actions: [...actions, { text: "Start again", does: () => this.store.set({ ...initialState(), match: [] }) }], isError: true });
	}

	// --- state -----------------------------------------------------------------------------------------------

	changed(state, before) {
		if (state.from !== before.from || state.to !== before.to || state.live !== before.live)
			this.resolveNow();
		if (state.text !== before.text || state.view !== before.view)
			this.functionsLimit = 500;
		this.tooltip.hide();
		this.follow(state, before);
		this.update();
		this.schedule();
	}

	follow(state, before) {
		this.rangeBar.follow(state);
		this.filters.follow(state);
		this.timeline.follow(state);
		VIEWS.forEach(([view, text], i) => {
			const isShown = view === state.view;
			this.tabs[i].setAttribute("aria-selected", String(isShown));
			this.tabs[i].tabIndex = isShown ? 0 : -1;
			this.views[view].element.hidden = !isShown;
			if (isShown)
				document.title = `${text} — hearth${this.status?.host ? ` on ${visible(this.status.host)}` : ""}`;
		});
		this.views.flame.follow(state, before);
		this.views.functions.follow(state, before);
		this.mark();
	}

	mark() {
		this.timeline.mark(this.store.state.sel, this.store.state.base, this.choosesBase);
	}

	refresh() {
		this.resolveNow();
		this.rangeBar.follow(this.store.state);
		this.askStatus();
		this.update({ again: true });
	}

	// Live: again when a window has ended. Without windows, until there are some.
	schedule() {
		clearTimeout(this.timer);
		const waits = this.status && (this.status.store?.windows === 0 || this.status.store?.exists === false);
		if (document.hidden || (!this.store.state.live && !waits && this.status))
			return;
		this.timer = setTimeout(async () => {
			if (!this.ask.timeline.isRunning && !this.ask[this.store.state.view].isRunning) {
				await this.askStatus();
				this.resolveNow();
				this.rangeBar.follow(this.store.state);
				this.update();
			}
			this.schedule();
		}, Math.max(2, this.status?.agent?.window_s || 10) * 1000);
	}

	async askStatus() {
		this.statusAbort?.abort();
		this.statusAbort = new AbortController();
		try {
			this.status = await ask(apiPath("status", []), this.statusAbort.signal, { keeps: false });
			if (this.status.now_ms)
				this.clockOffset = this.status.now_ms - Date.now();
			this.beginShort();
		} catch (error) {
			if (error.name === "AbortError")
				return;
			this.status = null;
		}
		this.showStatus();
	}

	// An agent that has just been started: what it has would be a sliver at the end of an hour.
	beginShort() {
		const { exists, from_ms } = this.status.store ?? {};
		if (this.hasBegun || !exists || !from_ms)
			return;
		this.hasBegun = true;
		if (!window.location.hash && this.now() - from_ms < SHORT_MS)
			this.store.set({ from: "-15m" }, { silently: true });
	}

	showStatus() {
		const { status } = this;
		this.host.textContent = status?.host ? visible(status.host) : "";
		const agent = status?.agent;
		const word = !status ? "no answer" : !agent || !agent.state ? "no agent is running" : `${visible(agent.state).replaceAll("_", " ")}${agent.rate_hz ? `, ${agent.rate_hz} Hz` : ""}`;
		const isWell = agent && ["running", "sampling", "boosted", "left_out"].includes(agent.state);
		this.agent.className = `agent ${isWell ? "well" : "unwell"}`;
		const kept = status?.store?.windows > 0 ? `The store has ${status.store.windows} windows from ${dateTime(status.store.from_ms)} to ${dateTime(status.store.to_ms)}.` : "";
		this.agent.title = [kept, status?.version && `hearth ${status.version}`, status?.store?.warning].filter(Boolean).map(visible).join(" ");
		replace(this.agent, h("i", {}), word);
		[this.timeline, ...Object.values(this.views)].forEach(panel => panel.again());
	}

	async start() {
		this.follow(this.store.state, this.store.state);
		this.update();
		await this.askStatus();
		// A clock that differs from the server's asked for another range; and the length of windows is known only now.
		if (Math.abs(this.clockOffset) > CLOCK_MS)
			this.resolveNow();
		this.follow(this.store.state, this.store.state);
		this.update();
		this.schedule();
	}

	// --- actions ---------------------------------------------------------------------------------------------

	// Of a function (or a process, in the first level of the graph).
	actions(name, { isFunction, isRoot, layout, node }) {
		const { store } = this;
		if (isRoot)
			return [];
		const copy = { text: "Copy the name", short: "Copy", hint: "C", does: () => this.copy(visible(name), "The name is copied.") };
		if (!isFunction)
			return [{ text: "Only this process", short: "Only this", hint: "F", does: () => store.set({ match: withMatch(store.state.match, "process", name), zoom: "" }) }, copy];
		const items = [
			{ text: "Callers and callees (sandwich)", short: "Sandwich", hint: "S", does: () => store.set({ view: "sandwich", fn: name }) },
			{ text: "Lines of the function", short: "Lines", hint: "N", does: () => store.set({ view: "lines", fn: name }) },
			{ text: "Only stacks with it (focus)", short: "Focus", hint: "F", does: () => store.set({ focus: exactly(name), zoom: "" }) },
			{ text: "No stacks with it", hint: "X", does: () => store.set({ ignore: exactly(name), zoom: "" }) },
			{ text: "Hide the function", short: "Hide", hint: "H", does: () => store.set({ hide: exactly(name), zoom: "" }) },
			{ text: "Find it in the flame graph", does: () => store.set({ view: "flame", q: exactly(name) }) },
			copy,
		];
		if (layout && node !== undefined)
			items.push({ text: "Copy the whole stack", does: () => this.copy(layout.path(node).slice(1).map(i => visible(layout.name(i))).join("\n"), "The stack is copied.") });
		return items;
	}

	async copy(text, done) {
		try {
			await navigator.clipboard.writeText(text);
		} catch {
			// Without a secure context there is no clipboard: the old way.
			const field = h("textarea", { class: "off-screen", "aria-hidden": "true" }, text);
			document.body.append(field);
			field.select();
			const isCopied = document.execCommand("copy");
			field.remove();
			if (!isCopied)
				return say("The browser does not allow copying.");
		}
		return say(done);
	}

	// Relative times become fixed ones: who gets the link sees the same.
	share() {
		const { state } = this.store, { from, to } = this.range();
		if (!state.live && (!/^\d+$/.test(state.from) || !/^\d+$/.test(state.to)))
			this.store.set({ from: String(from), to: String(to) }, { silently: true });
		this.copy(window.location.href, state.live ? "The link is copied. It follows now." : "The link is copied.");
	}

	download() {
		const chosen = this.chosen(), { base, dir } = this.store.state;
		const file = (text, format, hint, more = []) => ({ text, hint, does: () => this.save(apiPath("export", [...this.common(chosen), ["format", format], ...more])) });
		const way = dir === "icicle" ? [["icicle", 1]] : [];
		openMenu(this.downloads, [file("pprof", "pprof", ".pb.gz"), file("Folded stacks", "folded", ".folded"), file("Flame graph, SVG", "svg", ".svg", way),
			...(base ? [file("Comparison, SVG", "svg", ".svg", [...way, ["base_from", base[0]], ["base_to", base[1]]])] : []), file("Text report", "text", ".txt"), null,
			file("speedscope", "speedscope", ".json"), file("Firefox Profiler", "firefox", ".json")], { label: "Download", title: range(...chosen) });
	}

	// Fetched first, so that an error is told and not saved.
	async save(path) {
		say("The file is being made …");
		try {
			const { blob, name } = await fetchFile(path);
			const url = URL.createObjectURL(blob);
			h("a", { href: url, download: name }).click();
			setTimeout(() => URL.revokeObjectURL(url), 60e3);
			say(`${name} (${bytes(blob.size)})`);
		} catch (error) {
			say(visible(error.message));
		}
	}

	key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select") || document.querySelector("dialog[open], .popup"))
			return;
		const { store } = this, { state } = store;
		const view = VIEWS[Number(event.key) - 1];
		if (event.key === "/") {
			const at = this.views[state.view];
			(at.focusSearch ? at : { focusSearch: () => at.picker.field.focus() }).focusSearch();
		} else if (event.key === "?")
			openHelp();
		else if (view)
			store.set({ view: view[0] });
		else if (event.key === "l")
			this.rangeBar.toggleLive();
		else if (event.key === "r")
			this.refresh();
		else if (event.key === "Escape" && state.zoom && !event.defaultPrevented && !event.target.closest?.(".plot"))
			store.set({ zoom: "" });
		else
			return;
		event.preventDefault();
	}
}

