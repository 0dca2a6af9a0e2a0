// The flame graph with all that belongs to it: search, breadcrumbs, what is said of the chosen frame, actions.

import { h, button, newId, replace } from "./dom.js";
import { FlameCanvas } from "./flame_canvas.js";
import { FlameLayout } from "./flame_layout.js";
import { colorsOf, sampleColor } from "./colors.js";
import { count, share } from "./format.js";
import { sentenceOf, showFacts } from "./frame_facts.js";
import { openMenu } from "./menu.js";
import { Panel } from "./panel.js";
import { visible } from "./safe_text.js";

const CRUMBS = 5; // shown at the end of a long path
const TYPING_MS = 180;

// Capital letters count when the pattern has any. Throws a SyntaxError.
export function searchPattern(text) {
	return new RegExp(text, /[A-Z]/.test(text.replace(/\\./g, "")) ? "u" : "iu");
}

export class FlameView extends Panel {
	// store: state.js; tooltip; actions(name): items of the menu of a function.
	constructor({ store, tooltip, actions }) {
		super("flame-panel", "Flame graph");
		Object.assign(this, { store, tooltip, actions });
		this.unit = "nanoseconds";
		this.layout = null;
		const described = newId("frame");
		this.canvas = new FlameCanvas({
			label: "Flame graph. Arrow keys walk through the frames, Enter zooms in, Escape resets, M opens the actions of the frame.",
			describedBy: described,
			on: {
				zoom: node => this.zoomTo(node),
				select: node => this.describe(node),
				hover: (node, x, y) => tooltip.show(element => showFacts(element, this.layout, node, this.unit), x, y),
				leave: () => tooltip.hide(),
				menu: (node, x, y) => this.menu(node, { x, y }),
				key: (event, node) => this.key(event, node),
			},
		});
		this.build(described);
	}

	build(described) {
		this.searchField = h("input", { type: "search", class: "search", placeholder: "Search (regular expression)", "aria-label": "Search the flame graph by regular expression",
			spellcheck: "false", autocomplete: "off", oninput: () => this.typed(), onkeydown: event => {
				if (event.key === "Escape" && this.searchField.value) {
					event.stopPropagation();
					this.searchField.value = "";
					this.store.set({ q: "" });
				} else if (event.key === "Enter")
					this.store.set({ q: this.searchField.value });
			} });
		this.matched = h("output", { class: "matched", "aria-live": "polite" });
		this.flip = button({ icon: "flip", text: "Icicle", label: "Turn the graph over", onclick: () => this.store.set({ dir: this.store.state.dir === "icicle" ? "flame" : "icicle" }) });
		this.first = button({ text: "By process", class: "toggle", label: "First level: processes", onclick: () =>
			this.store.set({ first: this.store.state.first === "process" ? "none" : "process", zoom: "" }) });
		this.reset = button({ text: "Reset zoom", onclick: () => this.zoomTo(0) });
		this.crumbs = h("nav", { class: "crumbs", "aria-label": "Zoomed to" });
		this.legend = h("div", { class: "color-legend", "aria-hidden": "true" });
		this.facts = h("div", { class: "facts", id: described, "aria-live": "polite" });
		this.buttons = h("div", { class: "facts-actions" });
		this.detail = h("div", { class: "detail" }, this.facts, this.buttons);
		replace(this.content,
			h("div", { class: "toolbar" }, this.searchField, this.matched, h("span", { class: "space" }), this.legend, this.first, this.flip),
			h("div", { class: "crumb-row" }, this.crumbs, this.reset),
			this.canvas.element, this.detail);
	}

	// --- data ------------------------------------------------------------------------------------------------

	show(answer) {
		this.unit = answer.unit;
		this.ready();
		const before = this.layout && this.canvas.selected > 0 ? this.layout.pathId(this.canvas.selected) : "";
		this.layout = new FlameLayout(answer.nodes, answer, { total: answer.total, baseTotal: answer.base_total });
		const zoomed = Math.max(0, this.layout.find(this.store.state.zoom));
		this.canvas.direction = this.store.state.dir;
		this.canvas.show(this.layout, colorsOf(this.layout, this.hasProcesses), { zoomed });
		const selected = this.layout.find(before);
		if (selected > zoomed && selected < this.layout.end[zoomed])
			this.canvas.selected = selected;
		this.describe(this.canvas.selected);
		this.showCrumbs();
		this.search(this.store.state.q);
		this.showLegend();
	}

	get hasProcesses() {
		return this.store.state.first === "process";
	}

	setTheme(theme) {
		this.theme = theme;
		this.canvas.setTheme(theme);
		this.showLegend();
	}

	// The part of the state that needs no answer.
	follow(state, before) {
		this.flip.lastChild.textContent = state.dir === "icicle" ? "Icicle" : "Flame";
		this.first.setAttribute("aria-pressed", String(state.first === "process"));
		if (document.activeElement !== this.searchField)
			this.searchField.value = state.q;
		if (!this.layout)
			return;
		if (state.dir !== this.canvas.direction)
			this.canvas.setDirection(state.dir);
		if (state.q !== before.q)
			this.search(state.q);
		if (state.zoom !== before.zoom) {
			const node = this.layout.find(state.zoom);
			this.canvas.zoom(Math.max(0, node));
			this.showCrumbs();
			this.describe(this.canvas.selected);
		}
	}

	// --- zoom ------------------------------------------------------------------------------------------------

	zoomTo(node) {
		this.tooltip.hide();
		this.store.set({ zoom: this.layout.pathId(node) });
	}

	showCrumbs() {
		const { layout, canvas: { zoomed } } = this;
		const path = layout.path(zoomed);
		const lost = this.store.state.zoom !== "" && zoomed === 0;
		const crumb = (node, isLast) => button({ text: node === 0 ? "All" : visible(layout.name(node)), class: "crumb",
			"aria-current": isLast ? "true" : null, title: visible(layout.name(node)), onclick: () => this.zoomTo(node) });
		const hidden = path.length - 1 - CRUMBS;
		const shown = hidden > 1 ? path.slice(-CRUMBS) : path.slice(1);
		replace(this.crumbs, crumb(0, zoomed === 0),
			hidden > 1 && h("span", { class: "crumb-more" }, `› … ${hidden} frames`),
			shown.map(node => [h("span", { class: "crumb-arrow" }, "›"), crumb(node, node === zoomed)]),
			lost && h("span", { class: "hint" }, "The frame of this link does not occur here."));
		this.reset.disabled = zoomed === 0;
	}

	// --- search ----------------------------------------------------------------------------------------------

	typed() {
		clearTimeout(this.typing);
		const text = this.searchField.value;
		this.typing = setTimeout(() => this.store.set({ q: text }, { silently: true }), TYPING_MS);
	}

	search(text) {
		this.searchField.removeAttribute("aria-invalid");
		if (!text || !this.layout) {
			this.canvas.setMatches(null);
			this.matched.textContent = "";
			return;
		}
		let pattern;
		try {
			pattern = searchPattern(text);
		} catch (error) {
			this.searchField.setAttribute("aria-invalid", "true");
			this.canvas.setMatches(null);
			this.matched.textContent = `Not a regular expression: ${error.message.replace(/^Invalid regular expression: /, "")}`;
			return;
		}
		const { isMatch, total, base, frames, tooSlow } = this.layout.search(pattern);
		if (tooSlow) {
			this.canvas.setMatches(null);
			this.matched.textContent = "This expression takes too long.";
			return;
		}
		this.canvas.setMatches(isMatch);
		this.matched.textContent = frames === 0 ? "No match" :
			`${share(total, this.layout.total)} matched${this.layout.isDiff ? ` (before: ${share(base, this.layout.baseTotal)})` : ""}, ${count(frames)} frames`;
	}

	focusSearch() {
		this.searchField.focus();
		this.searchField.select();
	}

	// --- one frame -------------------------------------------------------------------------------------------

	describe(node) {
		const { layout } = this;
		if (!layout)
			return;
		showFacts(this.facts, layout, node, this.unit);
		this.canvas.canvas.setAttribute("aria-description", sentenceOf(layout, node, this.unit));
		const isFunction = node > 0 && !(this.hasProcesses && layout.nodes.depth[node] === 1);
		const items = this.actions(layout.name(node), { isFunction, isRoot: node === 0, layout, node });
		replace(this.buttons, items.filter(item => item && item.short).map(item =>
			button({ text: item.short, title: item.text, onclick: item.does })));
	}

	menu(node, at) {
		const { layout } = this;
		const isFunction = node > 0 && !(this.hasProcesses && layout.nodes.depth[node] === 1);
		const items = [{ text: "Zoom in", hint: "Enter", does: () => this.zoomTo(node) },
			...this.actions(layout.name(node), { isFunction, isRoot: node === 0, layout, node })];
		openMenu(this.canvas.canvas, items, { at, label: "Actions of the frame", title: visible(layout.name(node)).slice(0, 120) });
	}

	key(event, node) {
		if (event.key === "Escape") {
			event.preventDefault();
			if (this.canvas.zoomed)
				this.zoomTo(0);
			else if (this.store.state.q)
				this.store.set({ q: "" });
			return;
		}
		if (event.key === "m" || event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) {
			event.preventDefault();
			const rect = this.canvas.rectOf(node), box = this.canvas.canvas.getBoundingClientRect();
			this.menu(node, { x: box.left + (rect ? rect.x : 0) + 8, y: box.top + (rect ? rect.y + rect.height : 0) });
			return;
		}
		const isFunction = node > 0 && !(this.hasProcesses && this.layout.nodes.depth[node] === 1);
		const item = this.actions(this.layout.name(node), { isFunction, isRoot: node === 0, layout: this.layout, node })
			.find(one => one && one.hint && one.hint.toLowerCase() === event.key);
		if (item) {
			event.preventDefault();
			item.does();
		}
	}

	showLegend() {
		if (!this.theme || !this.layout)
			return;
		const kinds = this.layout.isDiff ? [["less", "less"], ["same", "same"], ["more", "more"]] :
			[["user", "user"], ["kernel", "kernel"], ["jit", "JIT"], ["marker", "no name"]];
		replace(this.legend, kinds.map(([kind, text]) => {
			const box = h("i", {});
			box.style.background = sampleColor(this.theme, kind);
			return h("span", {}, box, text);
		}));
	}
}
