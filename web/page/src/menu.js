// Pop-ups: menus of actions, and panels with fields. Escape and a click elsewhere close them, the focus goes back to where it was.

import { button, h } from "./dom.js";

let open = null;

export function closePopup({ keepFocus = false } = {}) {
	if (!open)
		return false;
	const { element, opener } = open;
	open = null;
	element.remove();
	opener?.setAttribute?.("aria-expanded", "false");
	if (!keepFocus)
		opener?.focus?.({ preventScroll: true });
	return true;
}

document.addEventListener("pointerdown", event => {
	if (open && !open.element.contains(event.target) && !open.opener?.contains?.(event.target))
		closePopup({ keepFocus: true });
}, true);
document.addEventListener("keydown", event => {
	if (event.key === "Escape" && closePopup())
		event.stopPropagation();
}, true);
window.addEventListener("resize", () => closePopup({ keepFocus: true }));

function place(element, x, y, alignRight) {
	const { offsetWidth: width, offsetHeight: height } = element;
	const left = Math.max(8, Math.min(alignRight ? x - width : x, window.innerWidth - width - 8));
	const top = Math.max(8, Math.min(y, window.innerHeight - height - 8));
	element.style.left = `${Math.round(left)}px`;
	element.style.top = `${Math.round(top)}px`;
}

// Below its opener (a button), or at { x, y }. Opening what is open closes it.
export function openPopup(opener, element, { at, label, focus = true } = {}) {
	const wasOpen = open && open.opener === opener && !at;
	closePopup({ keepFocus: true });
	if (wasOpen)
		return null;
	element.classList.add("popup");
	if (label)
		element.setAttribute("aria-label", label);
	document.body.append(element);
	open = { element, opener };
	opener?.setAttribute?.("aria-expanded", "true");
	const reposition = () => {
		const box = opener?.getBoundingClientRect?.();
		const alignRight = !at && box.left + box.width / 2 > window.innerWidth * 0.6;
		place(element, at ? at.x : alignRight ? box.right : box.left, at ? at.y : box.bottom + 4, alignRight);
	};
	reposition();
	if (focus)
		(element.querySelector("[autofocus], input, button:not([disabled]), a") || element).focus({ preventScroll: true });
	return { reposition };
}

// items: [{ text, does, hint, disabled }] or null for a line between.
export function openMenu(opener, items, options = {}) {
	const rows = items.map(item => {
		if (!item)
			return h("div", { class: "menu-line", role: "separator" });
		const hint = item.hint && h("span", { class: "menu-hint" }, item.hint);
		const row = button({ role: "menuitem", disabled: item.disabled, onclick: () => {
			closePopup();
			item.does();
		} });
		row.append(h("span", {}, item.text));
		if (hint)
			row.append(hint);
		return row;
	});
	const menu = h("div", { class: "menu", role: "menu", tabindex: "-1", onkeydown: event => {
		const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
		if (!step)
			return;
		event.preventDefault();
		const choices = rows.filter(row => row.tabIndex >= 0 && !row.disabled);
		choices[(choices.indexOf(document.activeElement) + step + choices.length) % choices.length]?.focus();
	} }, options.title && h("div", { class: "menu-title" }, options.title), rows);
	return openPopup(opener, menu, options);
}

// A short message at the page's lower edge, also read out.
let toast = null;
export function say(text) {
	toast ??= document.body.appendChild(h("div", { class: "toast", role: "status" }));
	toast.textContent = text;
	toast.classList.add("shown");
	clearTimeout(toast.timer);
	toast.timer = setTimeout(() => toast.classList.remove("shown"), 2500);
}
