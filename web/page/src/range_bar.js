// The row that says which time is shown: fixed lengths, steps back and forth, times as text, following now, and what is compared.

import { button, h, replace } from "./dom.js";
import { dateTime, range, span } from "./format.js";
import { closePopup, openPopup } from "./menu.js";
import { parseTime } from "./time_text.js";

const LENGTHS = [["15 min", "-15m"], ["1 h", "-1h"], ["6 h", "-6h"], ["24 h", "-24h"], ["7 d", "-7d"]];
const DAY = 86400e3;

export class RangeBar {
	// app: { store, range(): { from, to, sel }, refresh(), compareBefore(ms), chooseBase(), say() }
	constructor(app) {
		this.app = app;
		const { store } = app;
		const set = patch => store.set({ sel: null, zoom: "", live: false, base: null, ...patch });
		this.lengths = LENGTHS.map(([text, from]) => button({ text, label: `The last ${text}`, onclick: () => {
			const { from: before, to, sel, base } = store.state;
			// Pressed again it looks again.
			if (before === from && to === "now" && !sel && !base)
				app.refresh();
			else
				set({ from, to: "now", live: store.state.live });
		} }));
		this.text = button({ class: "range-text", "aria-haspopup": "dialog", onclick: () => this.edit() });
		this.live = button({ text: "Live", class: "toggle live", label: "Follow now", onclick: () => this.toggleLive() });
		this.refresh = button({ icon: "refresh", class: "refresh", label: "Look again", onclick: () => app.refresh() });
		this.compare = button({ text: "Compare", class: "toggle", label: "Compare with another range", "aria-haspopup": "dialog", onclick: () => this.chooseComparison() });
		this.chosen = h("div", { class: "chosen" });
		this.element = h("div", { class: "range-bar" },
			h("div", { class: "group", role: "group", "aria-label": "Length of the range" }, this.lengths),
			h("div", { class: "group", role: "group", "aria-label": "Range" },
				button({ icon: "left", label: "Earlier", onclick: () => this.step(-1) }), this.text, button({ icon: "right", label: "Later", onclick: () => this.step(1) })),
			this.live, this.refresh, this.compare, this.chosen);
	}

	follow(state) {
		const now = this.app.range();
		LENGTHS.forEach(([, from], i) => this.lengths[i].setAttribute("aria-pressed", String(state.from === from && state.to === "now")));
		this.text.textContent = range(now.from, now.to);
		this.live.setAttribute("aria-pressed", String(state.live));
		this.refresh.hidden = state.live;
		this.compare.setAttribute("aria-pressed", String(state.base !== null || this.app.choosesBase));
		replace(this.chosen, this.selChip(state), this.baseChip(state));
	}

	selChip({ sel, base }) {
		const { store } = this.app;
		if (!sel)
			return null;
		return h("span", { class: "chip sel" }, base ? "now: " : "chosen: ", h("b", {}, range(...sel)), ` (${span(sel[1] - sel[0])})`,
			button({ icon: "zoom", label: "Zoom the time line to it", onclick: () => store.set({ from: String(sel[0]), to: String(sel[1]), sel: null, live: false }) }),
			button({ icon: "close", label: "All of the time line", onclick: () => store.set({ sel: null }) }));
	}

	baseChip({ base }) {
		const { store } = this.app;
		if (this.app.choosesBase)
			return h("span", { class: "chip base" }, "Drag over the range to compare with", button({ icon: "close", label: "Do not compare", onclick: () => this.app.chooseBase(false) }));
		if (!base)
			return null;
		return h("span", { class: "chip base" }, "before: ", h("b", {}, range(...base)), ` (${span(base[1] - base[0])})`,
			button({ icon: "swap", label: "Swap both ranges", onclick: () => this.swap() }),
			button({ icon: "close", label: "Do not compare", onclick: () => store.set({ base: null, zoom: "" }) }));
	}

	swap() {
		const { store } = this.app, { from, to, sel } = this.app.range();
		const now = sel || [from, to], { base } = store.state;
		store.set({ from: String(Math.min(from, base[0])), to: String(Math.max(to, base[1])), live: false, sel: base, base: now });
	}

	step(by) {
		const { from, to } = this.app.range(), by_ms = by * (to - from) / 2;
		this.app.store.set({ from: String(Math.round(from + by_ms)), to: String(Math.round(to + by_ms)), sel: null, live: false });
	}

	toggleLive() {
		const { store } = this.app, { state } = store;
		if (state.live)
			return store.set({ live: false });
		const { from, to } = this.app.range();
		const isRelative = state.to === "now" && state.from.startsWith("-");
		return store.set({ live: true, sel: null, from: isRelative ? state.from : `-${Math.max(60, Math.round((to - from) / 1000))}s`, to: "now" });
	}

	edit() {
		const { store } = this.app, shown = this.app.range();
		const field = (label, text) => h("label", {}, h("span", {}, label), h("input", { type: "text", value: text, spellcheck: "false", autocomplete: "off" }));
		const asText = (written, ms) => /^\d+$/.test(written) ? dateTime(ms) : written;
		const from = field("From", asText(store.state.from, shown.from)), to = field("To", asText(store.state.to, shown.to));
		const error = h("p", { class: "field-error", role: "alert" });
		const form = h("form", { class: "form", role: "dialog", onsubmit: event => {
			event.preventDefault();
			const texts = [from, to].map(label => label.querySelector("input").value.trim());
			try {
				const now = this.app.now(), [a, b] = texts.map(text => parseTime(text, now));
				if (a >= b)
					throw new Error("The range ends before it begins.");
				const written = texts.map((text, i) => /^-|^now$/.test(text) ? text : String([a, b][i]));
				closePopup();
				store.set({ from: written[0], to: written[1], sel: null, base: null, live: false, zoom: "" });
			} catch (problem) {
				error.textContent = problem.message;
			}
		} }, from, to, h("p", { class: "hint" }, "As you would say it: -15m · -2d · 03:14 · yesterday 03:14 · 2026-11-20 03:14 · now. In this browser's time zone."),
		error, h("div", { class: "form-end" }, h("button", { type: "submit", class: "primary" }, "Show")));
		openPopup(this.text, form, { label: "Choose a range" });
	}

	chooseComparison() {
		const { from, to, sel } = this.app.range();
		const [a, b] = sel || [from, to], length = b - a;
		const choice = (text, hint, does) => {
			const row = button({ onclick: () => {
				closePopup();
				does();
			} });
			row.append(h("span", {}, text), h("span", { class: "menu-hint" }, hint));
			return row;
		};
		const back = by => range(a - by, b - by);
		openPopup(this.compare, h("div", { class: "menu", role: "dialog" },
			h("div", { class: "menu-title" }, `Compare ${range(a, b)} with`),
			choice("Before", back(length), () => this.app.compareBack(length)),
			length <= DAY && choice("The same time a day before", back(DAY), () => this.app.compareBack(DAY)),
			length <= 7 * DAY && choice("The same time a week before", back(7 * DAY), () => this.app.compareBack(7 * DAY)),
			choice("A range that I choose on the time line", "or Shift and drag", () => this.app.chooseBase(true)),
			this.app.store.state.base && choice("Nothing", "", () => this.app.store.set({ base: null }))), { label: "Compare with" });
	}
}
