// Making elements. Texts of strangers (names of functions, processes, containers, files) come onto the page as text nodes and
// attribute values only: there is no innerHTML anywhere, and no style attribute, which the Content-Security-Policy forbids anyway.

const SVG = "http://www.w3.org/2000/svg";

// h("button", { class: "x", onclick: f, "aria-label": "…" }, "text", element, null, [more]). Booleans set or leave out an attribute.
export function h(tag, props, ...children) {
	const element = document.createElement(tag);
	for (const [key, value] of Object.entries(props || {})) {
		if (value === null || value === undefined || value === false)
			continue;
		if (key === "class")
			element.className = value;
		else if (key.startsWith("on"))
			element.addEventListener(key.slice(2), value);
		else if (key === "value")
			element.value = value;
		else
			element.setAttribute(key, value === true ? "" : String(value));
	}
	element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
	return element;
}

export function replace(element, ...children) {
	element.replaceChildren(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
	return element;
}

// Line drawings of 16 x 16, in the text's colour.
const ICONS = {
	close: "M4 4l8 8M12 4l-8 8",
	left: "M10 3L5 8l5 5",
	right: "M6 3l5 5-5 5",
	plus: "M8 3v10M3 8h10",
	zoom: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.5 10.5L14 14M5 7h4M7 5v4",
	search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.5 10.5L14 14",
	link: "M6.5 9.5l3-3M7 4.5l1.5-1.5a3 3 0 0 1 4.3 4.3L11 9M9 11.500l-1.500 1.500a3 3 0 0 1-4.300-4.300L5 7",
	download: "M8 2v8M4.500 7L8 10.500 11.500 7M3 13.500h10",
	theme: "M8 2.500a5.500 5.500 0 1 0 0 11zM8 2.500a5.500 5.500 0 0 1 0 11",
	refresh: "M13 8a5 5 0 1 1-1.500-3.500M13 2v3h-3",
	flip: "M5 2.500v11M2.500 5L5 2.500 7.500 5M11 13.500v-11M8.500 11l2.500 2.500 2.500-2.500",
	swap: "M3 5.500h10M10.500 3L13 5.500 10.500 8M13 10.500H3M5.500 8L3 10.500 5.500 13",
	copy: "M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3",
};

export function icon(name) {
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("viewBox", "0 0 16 16");
	svg.setAttribute("class", "icon");
	svg.setAttribute("aria-hidden", "true");
	const path = document.createElementNS(SVG, "path");
	path.setAttribute("d", ICONS[name]);
	svg.append(path);
	return svg;
}

// A button with an icon, a text, or both; without a text its label is what is read out and shown on hovering.
export function button({ icon: name, text, label, ...props }) {
	return h("button", { type: "button", "aria-label": text && !label ? null : label, title: label, ...props }, name && icon(name), text && h("span", { class: name ? "button-text" : null }, text));
}

let lastId = 0;
export const newId = prefix => `${prefix}-${++lastId}`;
