// A function between those that call it and those that it calls; and the field that chooses a function.

import { h, newId, replace } from "./dom.js";
import { FlameCanvas } from "./flame_canvas.js";
import { FlameLayout } from "./flame_layout.js";
import { colorsOf } from "./colors.js";
import { share, value } from "./format.js";
import { showFacts } from "./frame_facts.js";
import { openMenu } from "./menu.js";
import { Panel } from "./panel.js";
import { visible } from "./safe_text.js";

// A field with suggestions; `names` are those that the page has seen.
export class FunctionPicker {
	constructor({ store }) {
		const list = h("datalist", { id: newId("functions") });
		this.list = list;
		this.field = h("input", { class: "search picker", list: list.id, placeholder: "Function (exact name)", "aria-label": "Function", spellcheck: "false", autocomplete: "off",
			onchange: () => store.set({ fn: this.raw.get(this.field.value) ?? this.field.value }) });
		this.raw = new Map();
		this.element = h("div", { class: "picker-box" }, this.field, list);
	}

	suggest(names) {
		this.raw = new Map(names.map(name => [visible(name), name]));
		replace(this.list, names.slice(0, 300).map(name => h("option", { value: visible(name) })));
	}

	set(name) {
		if (document.activeElement !== this.field)
			this.field.value = visible(name);
	}
}

export class SandwichView extends Panel {
	constructor({ store, tooltip, actions, picker }) {
		super("sandwich-panel", "Sandwich: callers and callees");
		Object.assign(this, { store, tooltip, actions, picker });
		this.unit = "nanoseconds";
		this.note = h("span", { class: "hint", role: "status" });
		this.callers = this.half("Callers of the function", "flame");
		this.callees = this.half("What the function calls", "icicle");
		this.title = h("div", { class: "sandwich-function" });
		this.element.prepend(h("div", { class: "toolbar" }, picker.element, this.note));
		replace(this.content, this.title, h("h3", {}, "Callers"), this.callers.canvas.element, h("h3", {}, "Callees"), this.callees.canvas.element,
			h("div", { class: "detail" }, this.facts = h("div", { class: "facts", "aria-live": "polite" })));
	}

	half(label, direction) {
		const half = { layout: null };
		half.canvas = new FlameCanvas({ label: `${label}. Arrow keys walk, Enter zooms in and out, M opens the actions of the frame, Escape resets.`, direction, firstDepth: 1, on: {
			zoom: node => this.follows(half, node),
			select: node => showFacts(this.facts, half.layout, node, this.unit),
			hover: (node, x, y) => this.tooltip.show(element => showFacts(element, half.layout, node, this.unit), x, y),
			leave: () => this.tooltip.hide(),
			menu: (node, x, y) => this.menu(half, node, { x, y }),
			key: (event, node) => {
				if (event.key === "Escape")
					half.canvas.zoom(0);
				else if (event.key === "m") {
					const rect = half.canvas.rectOf(node), box = half.canvas.canvas.getBoundingClientRect();
					this.menu(half, node, { x: box.left + (rect?.x ?? 0), y: box.top + (rect ? rect.y + rect.height : 0) });
				}
			},
		} });
		return half;
	}

	// A click zooms in; on what is zoomed already, out again.
	follows(half, node) {
		this.tooltip.hide();
		half.canvas.zoom(half.canvas.zoomed === node ? 0 : node);
	}

	menu(half, node, at) {
		const { layout } = half;
		openMenu(half.canvas.canvas, [{ text: "Zoom in", hint: "Enter", does: () => half.canvas.zoom(node) },
			...this.actions(layout.name(node), { isFunction: true, layout, node })], { at, label: "Actions of the frame", title: visible(layout.name(node)).slice(0, 120) });
	}

	setTheme(theme) {
		this.callers.canvas.setTheme(theme);
		this.callees.canvas.setTheme(theme);
	}

	show(answer) {
		this.ready();
		this.unit = answer.unit || "nanoseconds";
		const name = visible(this.store.state.fn);
		const { total, base_total: before } = answer, compares = before !== undefined;
		for (const [half, key] of [[this.callers, "callers"], [this.callees, "callees"]]) {
			const tree = answer[key];
			// The trees may have tables of names of their own.
			const tables = tree.names ? tree : answer;
			half.layout = new FlameLayout(tree.nodes || tree, tables, { total, baseTotal: before });
			half.canvas.show(half.layout, colorsOf(half.layout, compares));
		}
		const spent = (whole, self, of) => `total ${value(whole, this.unit)} (${share(whole, of)}), self ${value(self, this.unit)} (${share(self, of)})`;
		replace(this.title, h("b", {}, name), h("span", {}, ` ${spent(answer.function_total, answer.self, total)}`),
			compares && h("span", { class: "before" }, `; before: ${spent(answer.function_base_total, answer.base_self, before)}`));
		this.note.textContent = "";
		replace(this.facts);
	}
}
