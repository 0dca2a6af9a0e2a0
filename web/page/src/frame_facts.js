// What is said of a frame: in the tooltip, below the graph, and to a screen reader.

import { h, replace } from "./dom.js";
import { points, share, value } from "./format.js";
import { shortPath, visible } from "./safe_text.js";

export function factsOf(layout, i, unit) {
	const { nodes, total, baseTotal } = layout;
	const facts = {
		name: visible(layout.name(i)),
		module: visible(layout.module(i)),
		file: visible(layout.file(i)),
		numbers: [
			["total", value(nodes.total[i], unit), share(nodes.total[i], total)],
			["self", value(nodes.self[i], unit), share(nodes.self[i], total)],
		],
	};
	if (layout.isDiff) {
		facts.numbers[0] = ["total", value(nodes.total[i], unit), share(nodes.total[i], total)];
		facts.numbers.splice(1, 0, ["before", value(nodes.base_total[i], unit), share(nodes.base_total[i], baseTotal)]);
		facts.change = `${points(layout.change(i))} points`;
	}
	return facts;
}

// One sentence.
export function sentenceOf(layout, i, unit) {
	const facts = factsOf(layout, i, unit);
	const parts = facts.numbers.map(([what, number, part]) => `${what} ${number}, ${part}`);
	if (facts.change)
		parts.push(`change ${facts.change}`);
	if (facts.module)
		parts.push(`in ${facts.module}`);
	parts.push(`depth ${layout.nodes.depth[i]}`);
	return `${facts.name}: ${parts.join("; ")}.`;
}

export function showFacts(element, layout, i, unit) {
	const facts = factsOf(layout, i, unit);
	return replace(element,
		h("div", { class: "facts-name" }, facts.name),
		h("div", { class: "facts-numbers" }, facts.numbers.map(([what, number, part]) =>
			h("span", { class: "fact" }, h("span", { class: "fact-what" }, what), " ", h("b", {}, number), " ", h("span", { class: "fact-share" }, part))),
		facts.change && h("span", { class: "fact" }, h("span", { class: "fact-what" }, "change"), " ",
			h("b", { class: layout.change(i) > 0 ? "more" : "less" }, facts.change))),
		(facts.module || facts.file) && h("div", { class: "facts-where" }, facts.module, facts.module && facts.file ? " · " : "", shortPath(facts.file, 90)));
}

// One for the whole page, beside the pointer.
export class Tooltip {
	constructor() {
		this.element = h("div", { class: "tooltip", role: "tooltip", hidden: true });
		document.body.append(this.element);
	}

	show(fill, x, y) {
		const { element } = this;
		fill(element);
		element.hidden = false;
		const { offsetWidth: width, offsetHeight: height } = element;
		const left = x + 14 + width > window.innerWidth - 8 ? Math.max(8, x - 14 - width) : x + 14;
		const top = y + 18 + height > window.innerHeight - 8 ? Math.max(8, y - 14 - height) : y + 18;
		element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
	}

	hide() {
		this.element.hidden = true;
	}
}
