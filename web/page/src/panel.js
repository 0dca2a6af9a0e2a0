// A part of the page that shows an answer: its frame, and what it says while it waits, has nothing, or failed.

import { button, h, replace } from "./dom.js";

const SLOW_MS = 250; // what is there stays as it is for so long

export class Panel {
	constructor(className, label) {
		this.message = h("div", { class: "message", hidden: true });
		this.bar = h("div", { class: "progress", role: "progressbar", "aria-label": `${label}: loading`, hidden: true });
		this.content = h("div", { class: "panel-content" });
		this.element = h("section", { class: `panel ${className}`, "aria-label": label }, this.bar, this.message, this.content);
		this.isEmpty = true;
	}

	loading() {
		this.element.setAttribute("aria-busy", "true");
		clearTimeout(this.timer);
		this.timer = setTimeout(() => {
			this.bar.hidden = false;
			this.element.classList.toggle("stale", !this.isEmpty);
			if (this.isEmpty && this.message.hidden)
				this.say({ title: "Loading …" });
		}, this.isEmpty ? 60 : SLOW_MS);
	}

	settle() {
		clearTimeout(this.timer);
		this.bar.hidden = true;
		this.element.classList.remove("stale");
		this.element.removeAttribute("aria-busy");
	}

	ready() {
		this.settle();
		this.message.hidden = true;
		this.content.hidden = false;
		this.isEmpty = false;
	}

	// In place of the content. actions: [{ text, does }]; code: a command to type.
	say({ title, text, code, actions = [], isError = false }) {
		this.content.hidden = true;
		this.message.hidden = false;
		this.message.classList.toggle("error", isError);
		if (isError)
			this.message.setAttribute("role", "alert");
		else
			this.message.removeAttribute("role");
		replace(this.message, h("p", { class: "message-title" }, title), text && h("p", {}, text), code && h("pre", {}, h("code", {}, code)),
			actions.length > 0 && h("div", { class: "message-actions" }, actions.map(({ text: label, does, primary }) =>
				button({ text: label, class: primary ? "primary" : "", onclick: does }))));
	}

	// what: as say() takes it, or a function that returns it, for again().
	empty(what) {
		this.settle();
		this.isEmpty = true;
		this.explain = typeof what === "function" ? what : null;
		this.say(this.explain ? this.explain() : what);
	}

	// What is said may be another thing by now.
	again() {
		if (this.isEmpty && this.explain && !this.element.hasAttribute("aria-busy"))
			this.say(this.explain());
	}
}
