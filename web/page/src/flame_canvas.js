// Draws a FlameLayout on a canvas, and lets people walk in it: pointer and keys. The canvas is as large as what is seen of it; what is
// above and below scrolls (a stack may be hundreds of frames deep).

import { h } from "./dom.js";
import { visible } from "./safe_text.js";

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";
const ZOOM_MS = 180;
const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");
const coarse = window.matchMedia("(pointer: coarse)");

export class FlameCanvas {
	// on: { zoom(node), select(node), hover(node, x, y), leave(), key(event, node), menu(node, x, y) }
	constructor({ label, direction = "icicle", firstDepth = 0, describedBy, on }) {
		this.firstDepth = firstDepth; // what is above it is not drawn
		this.on = on;
		this.direction = direction;
		this.layout = null;
		this.zoomed = this.selected = 0;
		this.hovered = -1;
		this.matches = null;
		this.rowHeight = coarse.matches ? 22 : 18;
		this.drawn = []; // milliseconds of the last frames, for measuring
		this.canvas = h("canvas", { class: "flame-canvas", tabindex: "0", role: "application", "aria-roledescription": "flame graph",
			"aria-label": label, "aria-describedby": describedBy });
		this.canvas.flame = this; // for tests and the console
		this.filler = h("div", { class: "flame-filler" }, this.canvas);
		this.element = h("div", { class: "flame-scroll" }, this.filler);
		this.context = this.canvas.getContext("2d", { alpha: false });
		this.widths = new Map();
		this.listen();
		new ResizeObserver(() => this.resize()).observe(this.element);
	}

	listen() {
		const { canvas, element } = this;
		element.addEventListener("scroll", () => this.schedule(), { passive: true });
		canvas.addEventListener("pointermove", event => this.hover(event));
		canvas.addEventListener("pointerleave", () => {
			this.hovered = -1;
			this.on.leave?.();
			this.schedule();
		});
		canvas.addEventListener("click", event => {
			const node = this.nodeAt(event);
			if (node < 0)
				return;
			this.select(node);
			this.on.zoom?.(node);
		});
		canvas.addEventListener("contextmenu", event => {
			const node = this.nodeAt(event);
			if (node < 0 || !this.on.menu)
				return;
			event.preventDefault();
			this.select(node);
			this.on.menu(node, event.clientX, event.clientY);
		});
		canvas.addEventListener("keydown", event => this.key(event));
		canvas.addEventListener("focus", () => {
			this.hasFocus = canvas.matches(":focus-visible");
			if (this.hasFocus && this.layout)
				this.on.select?.(this.selected);
			this.schedule();
		});
		canvas.addEventListener("blur", () => {
			this.hasFocus = false;
			this.schedule();
		});
	}

	// colors: a place in theme.colors for each node.
	show(layout, colors, { zoomed = 0 } = {}) {
		this.layout = layout;
		this.colors = colors;
		this.matches = null;
		this.labels = new Array(layout.tables.names.length);
		this.hovered = -1;
		this.zoomed = zoomed;
		this.selected = Math.max(zoomed, Math.min(this.firstDepth, layout.n - 1));
		this.view = [layout.start[zoomed], layout.start[zoomed] + (layout.weight[zoomed] || 1)];
		this.animation = null;
		this.deepest = layout.deepestBelow(zoomed);
		this.resize();
		this.scrollToRoot();
	}

	clear() {
		this.layout = null;
		this.schedule();
	}

	setTheme(theme) {
		this.theme = theme;
		this.schedule();
	}

	setDirection(direction) {
		this.direction = direction;
		this.resize();
		this.schedule();
		this.scrollToRoot();
	}

	// isMatch: for each name; null: no search.
	setMatches(isMatch) {
		this.matches = isMatch;
		this.schedule();
	}

	zoom(node, { animate = true } = {}) {
		const { layout } = this;
		this.zoomed = node;
		const to = [layout.start[node], layout.start[node] + (layout.weight[node] || 1)];
		this.deepest = layout.deepestBelow(node);
		if (animate && !reducedMotion.matches)
			this.animation = { from: this.view, to, begin: performance.now() };
		else {
			this.animation = null;
			this.view = to;
		}
		if (this.selected < node || this.selected >= layout.end[node])
			this.selected = node;
		this.resize();
		this.reveal(this.selected);
	}

	select(node) {
		this.selected = node;
		this.on.select?.(node);
		this.schedule();
	}

	// --- where things are ------------------------------------------------------------------------------------

	get contentHeight() {
		return this.layout ? (this.deepest + 1 - this.firstDepth) * this.rowHeight + 2 : this.rowHeight * 3;
	}

	resize() {
		if (!this.element.isConnected)
			return;
		this.element.classList.toggle("upward", this.direction === "flame");
		this.filler.style.height = `${this.contentHeight}px`;
		const width = this.element.clientWidth, height = Math.min(this.element.clientHeight, this.contentHeight);
		const ratio = window.devicePixelRatio || 1;
		if (this.width !== width || this.height !== height || this.ratio !== ratio) {
			Object.assign(this, { width, height, ratio });
			this.canvas.width = Math.max(1, Math.round(width * ratio));
			this.canvas.height = Math.max(1, Math.round(height * ratio));
			this.canvas.style.width = `${width}px`;
			this.canvas.style.height = `${height}px`;
		}
		this.schedule();
	}

	rowOf(depth) {
		return this.direction === "flame" ? this.deepest - depth : depth - this.firstDepth;
	}

	depthOf(row) {
		return this.direction === "flame" ? this.deepest - row : row + this.firstDepth;
	}

	scrollToRoot() {
		this.element.scrollTop = this.direction === "flame" ? this.element.scrollHeight : 0;
	}

	reveal(node) {
		const top = this.rowOf(this.layout.nodes.depth[node]) * this.rowHeight, { element } = this;
		if (top < element.scrollTop)
			element.scrollTop = Math.max(0, top - this.rowHeight);
		else if (top + this.rowHeight > element.scrollTop + element.clientHeight)
			element.scrollTop = top + 2 * this.rowHeight - element.clientHeight;
	}

	// Of a node: { x, y, width, height } within the canvas, clipped to it; null: not on the screen.
	rectOf(node) {
		const { layout, view: [from, to], width } = this;
		const scale = width / (to - from);
		const left = Math.max(0, (layout.start[node] - from) * scale), right = Math.min(width, (layout.start[node] + layout.weight[node] - from) * scale);
		const y = this.rowOf(layout.nodes.depth[node]) * this.rowHeight - this.element.scrollTop;
		return right > left ? { x: left, y, width: right - left, height: this.rowHeight } : null;
	}

	nodeAt(event) {
		if (!this.layout)
			return -1;
		const box = this.canvas.getBoundingClientRect();
		const row = Math.floor((event.clientY - box.top + this.element.scrollTop) / this.rowHeight);
		const depth = this.depthOf(row), [from, to] = this.view;
		if (depth < this.firstDepth)
			return -1;
		return this.layout.at(depth, from + (event.clientX - box.left) / this.width * (to - from));
	}

	hover(event) {
		const node = this.nodeAt(event);
		this.canvas.style.cursor = node >= 0 ? "pointer" : "";
		if (node !== this.hovered) {
			this.hovered = node;
			this.schedule();
		}
		if (node >= 0 && event.pointerType !== "touch")
			this.on.hover?.(node, event.clientX, event.clientY);
		else
			this.on.leave?.();
	}

	// --- keys ------------------------------------------------------------------------------------------------

	key(event) {
		const { layout } = this;
		if (!layout || event.ctrlKey || event.metaKey || event.altKey)
			return;
		const node = this.selected, { depth } = layout.nodes;
		const inward = this.direction === "flame" ? "ArrowUp" : "ArrowDown", outward = this.direction === "flame" ? "ArrowDown" : "ArrowUp";
		let next = -1;
		switch (event.key) {
		case inward: next = layout.largestChild(node); break;
		case outward: next = layout.parent[node]; break;
		case "ArrowLeft": next = layout.neighbour(node, -1, depth[node] > depth[this.zoomed] ? this.zoomed : 0); break;
		case "ArrowRight": next = layout.neighbour(node, 1, depth[node] > depth[this.zoomed] ? this.zoomed : 0); break;
		case "Home": next = this.zoomed; break;
		case "Enter":
		case " ":
			event.preventDefault();
			this.on.zoom?.(node);
			return;
		default:
			this.on.key?.(event, node);
			return;
		}
		event.preventDefault();
		this.hasFocus = true;
		if (next < 0 || depth[next] < this.firstDepth)
			return;
		this.select(next);
		this.reveal(next);
	}

	// --- drawing ---------------------------------------------------------------------------------------------

	schedule() {
		if (this.pending)
			return;
		this.pending = requestAnimationFrame(() => {
			this.pending = 0;
			const begin = performance.now();
			this.step(begin);
			this.draw();
			this.drawn.push(performance.now() - begin);
			if (this.drawn.length > 240)
				this.drawn.shift();
		});
	}

	step(now) {
		if (!this.animation)
			return;
		const { from, to, begin } = this.animation;
		const t = Math.min(1, (now - begin) / ZOOM_MS), eased = 1 - (1 - t) ** 3;
		this.view = [from[0] + (to[0] - from[0]) * eased, from[1] + (to[1] - from[1]) * eased];
		if (t >= 1)
			this.animation = null;
		else
			this.schedule();
	}

	draw() {
		const { context, theme, layout } = this;
		if (!theme || !this.width)
			return;
		context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
		context.fillStyle = theme.background;
		context.fillRect(0, 0, this.width, this.height);
		if (!layout)
			return;
		context.font = FONT;
		context.textBaseline = "middle";
		context.direction = "ltr";
		const top = this.element.scrollTop;
		const first = Math.floor(top / this.rowHeight), last = Math.min(this.deepest - this.firstDepth, Math.floor((top + this.height) / this.rowHeight));
		for (let row = first; row <= last; row++)
			this.drawLevel(this.depthOf(row), row * this.rowHeight - top);
		if (this.hovered >= 0)
			this.outline(this.hovered, theme.hover, 1);
		if (this.hasFocus)
			this.outline(this.selected, theme.selected, 2);
	}

	drawLevel(depth, y) {
		const { context, theme, layout, width, view: [from, to], colors, matches } = this;
		const { start, weight, levels, nodes } = layout;
		const level = levels[depth], height = this.rowHeight - 1;
		const scale = width / (to - from);
		const isCaller = depth < nodes.depth[this.zoomed];
		if (isCaller)
			context.globalAlpha = 0.55;
		for (let at = layout.firstBehind(level, from); at < level.length;) {
			const node = level[at];
			const left = (start[node] - from) * scale, right = left + weight[node] * scale;
			if (left >= width)
				break;
			const isMatch = matches && matches[nodes.name[node]];
			context.fillStyle = matches ? (isMatch ? theme.match : theme.unmatched) : theme.colors[colors[node]];
			if (right - left < 1) {
				// All that ends within this pixel is one stroke of it.
				const pixel = Math.floor(left) + 1;
				context.fillRect(pixel - 1, y, 0.8, height);
				at = Math.max(at + 1, layout.firstBehind(level, from + pixel / scale, at + 1));
				continue;
			}
			const x = Math.max(left, -1), w = Math.min(right, width + 1) - x;
			context.fillRect(x, y, w > 2.5 ? w - 0.8 : w, height);
			if (w > 22)
				this.drawLabel(node, Math.max(x, 0) + 4, y + height / 2 + 0.5, Math.min(x + w, width) - Math.max(x, 0) - 7, isMatch);
			at++;
		}
		context.globalAlpha = 1;
	}

	drawLabel(node, x, y, room, isMatch) {
		const { context, theme, layout } = this;
		const name = layout.nodes.name[node];
		const label = this.labels[name] ??= visible(layout.tables.names[name]);
		const text = this.fit(label, room);
		if (!text)
			return;
		context.fillStyle = this.matches ? (isMatch ? theme.matchText : theme.faint) : theme.text;
		context.fillText(text, x, y);
	}

	charWidth(code) {
		let width = this.widths.get(code);
		if (width === undefined) {
			width = this.context.measureText(String.fromCharCode(code)).width;
			this.widths.set(code, width);
		}
		return width;
	}

	// As much of a text as there is room for. Widths of single characters are remembered: measuring texts is what takes the time.
	fit(text, room) {
		const ellipsis = this.charWidth(0x2026);
		let used = 0, cut = 0;
		for (let i = 0; i < text.length; i++) {
			used += this.charWidth(text.charCodeAt(i));
			if (used + ellipsis <= room)
				cut = i + 1;
			else if (used > room)
				return cut >= 2 ? `${text.slice(0, cut)}…` : "";
		}
		return text;
	}

	outline(node, color, width) {
		const rect = node < this.layout.n ? this.rectOf(node) : null;
		if (!rect)
			return;
		const { context } = this;
		context.strokeStyle = color;
		context.lineWidth = width;
		context.strokeRect(rect.x + width / 2, rect.y + width / 2, Math.max(1, rect.width - width - 0.5), rect.height - 1 - width);
	}
}
