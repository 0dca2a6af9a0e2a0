// Tables of functions, of differences, and of a function's lines.

import { button, h, replace } from "./dom.js";
import { count, points, share, value } from "./format.js";
import { openMenu } from "./menu.js";
import { Panel } from "./panel.js";
import { baseName, shortPath, visible } from "./safe_text.js";

const TYPING_MS = 250;

// The bar is full for the largest of its column.
function barCell(part, whole, unit, most) {
	const bar = h("i", { class: "bar" });
	bar.style.width = `${most > 0 ? Math.min(100, Math.max(0, part / most * 100)) : 0}%`;
	return h("td", { class: "number" }, h("div", { class: "bar-room" }, bar), h("span", {}, value(part, unit)), h("span", { class: "cell-share" }, share(part, whole)));
}

// Sorting by a column, and back by a second click. order: "self", "self-up", ...
class Heads {
	constructor(columns, order, choose) {
		const [key, isUp] = order.endsWith("-up") ? [order.slice(0, -3), true] : [order, false];
		this.row = h("tr", {}, columns.map(([column, text, className, title]) => {
			const isSorted = column === key;
			if (!column)
				return h("th", { class: className, scope: "col" }, text);
			return h("th", { class: className, scope: "col", "aria-sort": isSorted ? (isUp ? "ascending" : "descending") : "none" },
				button({ text, class: isSorted ? `sorted ${isUp ? "up" : "down"}` : "", title, onclick: () => choose(isSorted && !isUp ? `${column}-up` : column) }));
		}));
	}
}

export function sortRows(rows, order, keys) {
	const isUp = order.endsWith("-up"), key = isUp ? order.slice(0, -3) : order;
	const of = keys[key];
	if (!of)
		return rows;
	const sorted = [...rows].sort((a, b) => {
		const x = of(a), y = of(b);
		return typeof x === "string" ? (x < y ? -1 : x > y ? 1 : 0) : y - x;
	});
	return isUp ? sorted.reverse() : sorted;
}

export class FunctionsView extends Panel {
	// on: { more() }
	constructor({ store, actions, on }) {
		super("functions-panel", "Functions");
		Object.assign(this, { store, actions, on });
		this.field = h("input", { type: "search", class: "search", placeholder: "Filter by text", "aria-label": "Only functions whose name contains this text", spellcheck: "false",
			autocomplete: "off", oninput: () => {
				clearTimeout(this.typing);
				this.typing = setTimeout(() => store.set({ text: this.field.value }, { silently: true }), TYPING_MS);
			} });
		this.note = h("span", { class: "hint", role: "status" });
		this.head = h("thead");
		this.body = h("tbody");
		this.more = button({ text: "Show more", onclick: () => on.more() });
		this.table = h("table", {}, this.head, this.body);
		this.nothing = h("p", { class: "hint nothing", hidden: true });
		replace(this.content, h("div", { class: "toolbar" }, this.field, this.note), h("div", { class: "table-box" }, this.table), this.nothing, this.more);
	}

	// answer of /functions, or of /diff
	show(answer, isDiff) {
		this.ready();
		Object.assign(this, { answer, isDiff });
		this.render();
	}

	follow(state, before) {
		if (document.activeElement !== this.field)
			this.field.value = state.text;
		if (this.answer && (state.sort !== before.sort || (this.isDiff && state.text !== before.text)))
			this.render();
	}

	focusSearch() {
		this.field.focus();
	}

	render() {
		const { answer, isDiff, store: { state } } = this;
		const unit = answer.unit || "nanoseconds";
		const change = row => row.total / (answer.total || 1) - row.base_total / (answer.base_total || 1);
		const selfChange = row => row.self / (answer.total || 1) - row.base_self / (answer.base_total || 1);
		const keys = { self: row => isDiff ? Math.abs(selfChange(row)) : row.self, total: row => isDiff ? Math.abs(change(row)) : row.total, name: row => row.name,
			change: row => Math.abs(selfChange(row)) };
		const wanted = isDiff ? state.text.toLowerCase() : "";
		const rows = sortRows(answer.functions, state.sort, keys).filter(row => !wanted || row.name.toLowerCase().includes(wanted));
		const columns = isDiff ? [["name", "Function", "name"], ["self", "Self: change", "number", "Change of the share of time in the function itself, in percentage points"], ["", "now", "number wide"], ["", "before", "number wide"],
			["total", "Total: change", "number", "Change of the share of time in the function and what it calls"], ["", "now", "number wide"], ["", "before", "number wide"], ["", "", "row-actions"]] :
			[["name", "Function", "name"], ["self", "Self", "number", "Time in the function itself"], ["total", "Total", "number", "Time in the function and in what it calls"], ["", "", "row-actions"]];
		const most = { self: Math.max(0, ...rows.map(row => row.self)), total: Math.max(0, ...rows.map(row => row.total)) };
		replace(this.head, new Heads(columns, state.sort, sort => this.store.set({ sort })).row);
		replace(this.body, rows.map(row => isDiff ? this.diffRow(row, answer, unit, selfChange(row), change(row)) : this.row(row, answer, unit, most)));
		this.note.textContent = isDiff ? `${count(rows.length)} functions, by how much their share changed` :
			`${count(rows.length)} of ${count(answer.n ?? rows.length)} functions`;
		this.more.hidden = isDiff || (answer.n ?? 0) <= answer.functions.length;
		this.nothing.hidden = rows.length > 0;
		this.nothing.textContent = state.text ? `No function's name contains "${visible(state.text)}".` : "No function.";
	}

	nameCell(row) {
		const open = () => this.store.set({ view: "sandwich", fn: row.name });
		return h("td", { class: "name" }, h("button", { type: "button", class: "link", title: `${visible(row.name)} — callers and callees`, onclick: open }, visible(row.name)),
			h("span", { class: "where" }, [visible(baseName(row.module || "")), row.file ? shortPath(row.file, 48) : ""].filter(Boolean).join(" · ")));
	}

	actionsCell(row) {
		const opener = button({ text: "⋯", label: `Actions for ${visible(row.name)}`, class: "quiet", "aria-haspopup": "menu", onclick: () =>
			openMenu(opener, this.actions(row.name, { isFunction: true }), { label: "Actions of the function", title: visible(row.name).slice(0, 120) }) });
		return h("td", { class: "row-actions" }, opener);
	}

	row(row, answer, unit, most) {
		return h("tr", { class: row.kernel ? "kernel" : "" }, this.nameCell(row), barCell(row.self, answer.total, unit, most.self), barCell(row.total, answer.total, unit, most.total), this.actionsCell(row));
	}

	diffRow(row, answer, unit, self, total) {
		const changed = (x, className) => h("td", { class: `number change ${x > 0.00005 ? "more" : x < -0.00005 ? "less" : ""} ${className}` }, points(x));
		const plain = (part, whole) => h("td", { class: "number wide" }, share(part, whole));
		return h("tr", {}, this.nameCell(row), changed(self, ""), plain(row.self, answer.total), plain(row.base_self, answer.base_total),
			changed(total, ""), plain(row.total, answer.total), plain(row.base_total, answer.base_total), this.actionsCell(row));
	}
}

export class LinesView extends Panel {
	constructor({ store, picker }) {
		super("lines-panel", "Lines");
		this.store = store;
		this.note = h("span", { class: "hint", role: "status" });
		this.body = h("tbody");
		this.head = h("thead", {}, h("tr", {}, h("th", { class: "name", scope: "col" }, "File and line"), h("th", { class: "number", scope: "col" }, "Self"), h("th", { class: "number", scope: "col" }, "Total")));
		this.nothing = h("p", { class: "hint nothing", hidden: true });
		this.picker = picker;
		this.element.prepend(h("div", { class: "toolbar" }, picker.element, this.note));
		replace(this.content, h("div", { class: "table-box" }, h("table", {}, this.head, this.body)), this.nothing);
	}

	show(answer) {
		this.ready();
		const unit = answer.unit || "nanoseconds";
		const lines = answer.lines.filter(line => line.line > 0 || line.file);
		const most = Math.max(0, ...lines.map(line => line.total)), mostSelf = Math.max(0, ...lines.map(line => line.self));
		replace(this.body, lines.map(line => h("tr", { class: line.total === most ? "hottest" : "" },
			h("td", { class: "name" }, h("span", { class: "file", title: visible(line.file) }, shortPath(line.file || "?", 70)), h("b", { class: "line" }, line.line > 0 ? `:${line.line}` : "")),
			barCell(line.self, answer.total, unit, mostSelf), barCell(line.total, answer.total, unit, most))));
		this.note.textContent = lines.length ? `${count(lines.length)} lines` : "";
		this.nothing.hidden = lines.length > 0;
		this.nothing.textContent = "Nothing tells the lines of this function: its file has no DWARF line information, here or on a debuginfod server, or the function does not occur in this range.";
	}
}
