// Whose samples are shown: chips for labels, sides and functions; what can be chosen comes from the server, with its share.

import { button, h, replace } from "./dom.js";
import { share } from "./format.js";
import { closePopup, openPopup } from "./menu.js";
import { REGEXES } from "./state.js";
import { visible } from "./safe_text.js";

const KEYS = ["process", "thread", "service", "container", "pod", "namespace", "unit", "executable", "host", "pid"]; // in this order; others behind
const WORDS = { focus: "only stacks with", ignore: "without stacks with", hide: "hidden", show: "only frames" };

// With another value for one key nothing would be left, so a new one takes its place.
export function withMatch(match, key, value) {
	return [...match.filter(([k]) => k !== key), [key, value]];
}

export class Filters {
	// app: { store, labels(signal, key): a promise of the answer; with a key null where its values are in the answer for all }
	constructor(app) {
		this.app = app;
		const { store } = app;
		this.sides = [["", "All"], ["user", "User"], ["kernel", "Kernel"]].map(([side, text]) => ({ side, element: button({ text, onclick: () => store.set({ side, zoom: "" }) }) }));
		this.chips = h("div", { class: "chips" });
		this.add = button({ icon: "plus", text: "Filter", class: "add-filter", "aria-haspopup": "dialog", onclick: () => this.choose() });
		this.element = h("div", { class: "filters" },
			h("div", { class: "group", role: "group", "aria-label": "User or kernel" }, this.sides.map(({ element }) => element)),
			this.chips, this.add);
	}

	follow(state) {
		const { store } = this.app;
		for (const { side, element } of this.sides)
			element.setAttribute("aria-pressed", String(state.side === side));
		const chip = (what, text, away) => h("span", { class: "chip" }, h("span", { class: "chip-key" }, what), h("b", { title: visible(text) }, visible(text)),
			button({ icon: "close", label: `Remove ${what} ${visible(text)}`, onclick: away }));
		replace(this.chips,
			state.match.map(([key, value], at) => chip(key, value || "(none)", () => store.set({ match: state.match.filter((_, i) => i !== at), zoom: "" }))),
			REGEXES.filter(key => state[key]).map(key => chip(WORDS[key], state[key], () => store.set({ [key]: "", zoom: "" }))),
			state.match.length + REGEXES.filter(key => state[key]).length > 1 &&
				button({ text: "Clear all", class: "quiet", onclick: () => store.set({ match: [], focus: "", ignore: "", hide: "", show: "", zoom: "" }) }));
	}

	async choose() {
		const list = h("div", { class: "filter-values", role: "listbox", "aria-label": "Values" }, h("p", { class: "hint" }, "Loading …"));
		const keys = h("div", { class: "filter-keys", role: "group", "aria-label": "Label" });
		const field = h("input", { type: "search", placeholder: "Find", "aria-label": "Find a value", spellcheck: "false", autocomplete: "off" });
		const box = h("div", { class: "filter-popup", role: "dialog" }, keys, field, list, this.regexForm());
		const popup = openPopup(this.add, box, { label: "Add a filter", focus: false });
		if (!popup)
			return;
		field.focus({ preventScroll: true });
		this.controller?.abort();
		this.controller = new AbortController();
		try {
			const answer = await this.app.labels(this.controller.signal);
			this.fill(answer, keys, field, list);
		} catch (error) {
			replace(list, h("p", { class: "field-error", role: "alert" }, error.message));
		}
		popup.reposition();
	}

	fill(answer, keys, field, list) {
		const { store } = this.app;
		const place = key => (KEYS.indexOf(key) + 1 || 99);
		const labels = answer.labels.filter(label => label.values.length > 0).sort((a, b) => place(a.key) - place(b.key));
		if (labels.length === 0) {
			replace(list, h("p", { class: "hint" }, "There are no samples in this range."));
			return;
		}
		let key = labels.some(label => label.key === this.lastKey) ? this.lastKey : labels[0].key;
		const show = async () => {
			this.lastKey = key;
			const wanted = field.value.toLowerCase(), asked = key;
			const own = await this.app.labels(this.controller.signal, key)?.catch(() => null) || answer;
			if (asked !== key)
				return;
			const label = own.labels.find(one => one.key === key) || { values: [] };
			const whole = Math.max(own.total || 0, label.values.reduce((sum, one) => sum + one.total, 0));
			const values = label.values.filter(one => String(one.value).toLowerCase().includes(wanted));
			for (const element of keys.children)
				element.setAttribute("aria-pressed", String(element.dataset.key === key));
			replace(list, values.slice(0, 100).map(({ value, total }) => {
				const bar = h("i", { class: "bar" });
				bar.style.width = `${whole ? total / whole * 100 : 0}%`;
				return h("button", { type: "button", role: "option", "aria-selected": String(store.state.match.some(([k, v]) => k === key && v === String(value))), onclick: () => {
					closePopup();
					store.set({ match: withMatch(store.state.match, key, String(value)), zoom: "" });
				} }, bar, h("span", { class: "value-name" }, visible(value) || "(none)"), h("span", { class: "value-share" }, share(total, whole)));
			}), values.length === 0 && h("p", { class: "hint" }, "Nothing of that name."));
		};
		replace(keys, labels.map(label => h("button", { type: "button", "data-key": label.key, onclick: () => {
			key = label.key;
			show();
		} }, label.key)));
		field.addEventListener("input", show);
		field.addEventListener("keydown", event => {
			if (event.key === "Enter")
				list.querySelector("button")?.click();
		});
		show();
	}

	// Functions, by regular expression.
	regexForm() {
		const { store } = this.app;
		const what = h("select", { "aria-label": "What happens with functions that match" },
			h("option", { value: "focus" }, "only stacks with"), h("option", { value: "ignore" }, "no stacks with"), h("option", { value: "hide" }, "hide"), h("option", { value: "show" }, "show only"));
		const text = h("input", { type: "text", placeholder: "function (regular expression)", "aria-label": "Function, as a regular expression", spellcheck: "false", autocomplete: "off" });
		return h("form", { class: "filter-regex", onsubmit: event => {
			event.preventDefault();
			if (!text.value)
				return;
			closePopup();
			store.set({ [what.value]: text.value, zoom: "" });
		} }, what, text, h("button", { type: "submit" }, "Add"));
	}
}
