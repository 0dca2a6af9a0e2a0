// The account: how much was measured, what is cut, what was lost. It is always in sight, because a profile that hides what it lost lies.

import { button, h, replace } from "./dom.js";
import { count, many, span, value } from "./format.js";
import { openPopup } from "./menu.js";
import { visible } from "./safe_text.js";

const sumOf = counts => Object.values(counts || {}).reduce((sum, n) => sum + (Number(n) || 0), 0);

const REASONS = {
	no_mapping: "no mapping", no_table: "no unwind information", no_row: "no row of unwind information", unsupported_rule: "a rule that cannot be followed",
	unreadable_stack: "stack not readable", too_deep: "too deep", no_frame_pointer: "no frame pointer",
};
const reason = text => Object.hasOwn(REASONS, text) ? REASONS[text] : visible(text).replaceAll("_", " ");

function counts(title, of, show) {
	const rows = Object.entries(of || {}).filter(([, n]) => Number(n) > 0).sort((a, b) => b[1] - a[1]);
	return rows.length > 0 && [h("h4", {}, title), h("table", { class: "counts" }, h("tbody", {}, rows.map(([what, n]) =>
		h("tr", {}, h("td", {}, reason(what)), h("td", { class: "number" }, show(n))))))];
}

export class Summary {
	// on: { more(): show more frames, hasMore(): whether that is possible }
	constructor({ on }) {
		this.on = on;
		this.element = h("div", { class: "summary", role: "status" });
	}

	clear() {
		replace(this.element);
	}

	// isDrawn: the answer's tree is the one on the page.
	show(answer, { isDrawn = false } = {}) {
		const { unit, total } = answer;
		// A window that overlaps the range counts whole.
		const { windows_from_ms: first = answer.from_ms, windows_to_ms: last = answer.to_ms } = answer, seconds = (last - first) / 1000;
		const truncated = sumOf(answer.truncated), drops = sumOf(answer.drops);
		const facts = [h("b", {}, value(total, unit)), unit === "nanoseconds" && seconds > 0 ? ` CPU in ${span(seconds * 1000)} (${(total / 1e9 / seconds).toFixed(2)} CPUs)` : ` ${answer.type || ""}`];
		const fact = (...texts) => h("span", { class: "fact" }, texts);
		const details = button({ class: `quiet ${drops > 0 ? "warning" : ""}`, text: "", "aria-haspopup": "dialog", onclick: () => this.details(details, answer) });
		details.append(h("span", {}, `${count(truncated)} cut`), h("span", {}, ` · ${count(drops)} dropped`));
		replace(this.element, fact(facts), answer.base_total !== undefined && fact("before: ", h("b", {}, value(answer.base_total, unit))),
			fact(many(answer.samples, "stack")), answer.windows !== undefined && fact(many(answer.windows, "window")), details,
			answer.warning && fact(h("span", { class: "warning" }, visible(answer.warning))), answer.exact === false && fact(h("span", { class: "warning" }, "numbers are rounded")),
			isDrawn && answer.left_out > 0 && h("span", { class: "fact" }, `${count(answer.left_out)} smallest frames not drawn `, this.on.hasMore() && button({ text: "show more", class: "quiet", onclick: this.on.more })));
	}

	details(opener, answer) {
		const truncated = counts("Stacks that are cut, by reason", answer.truncated, count);
		const drops = counts("Samples that were dropped, by reason", answer.drops, count);
		openPopup(opener, h("div", { class: "form", role: "dialog", tabindex: "-1" },
			h("p", { class: "hint" }, "A stack that cannot be walked to its end is kept, with a frame [truncated: …] in the place of its callers. A sample that is lost is counted here. These are all samples of these windows, whatever the filters."),
			truncated || h("p", {}, "No stack is cut."), drops || h("p", {}, "No sample was dropped.")), { label: "What is missing" });
	}
}
