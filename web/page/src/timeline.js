// The time line: CPUs in use, stacked by process (or whatever `by` says). Dragging chooses a range; with Shift, or after "choose on
// the time line", the range that is compared with. uPlot draws the axes and areas; choosing is ours, because it works by touch and keys.

import uPlot from "uplot";
import { h, newId, replace } from "./dom.js";
import { clock, day, duration, range, share, span } from "./format.js";
import { Panel } from "./panel.js";
import { visible } from "./safe_text.js";

const HEIGHT = 116;
const LABELS = ["process", "service", "executable", "container", "unit", "pod", "thread"];
const MIN_DRAG = 4; // pixels; less is a click
const COLORS_KEPT = 1000;
const SHOWN = 15; // series with a colour and a place in the legend

const stepped = uPlot.paths.stepped({ align: 1 });

// Series that are worth a colour, and the rest as one.
function seriesOf(answer) {
	const isEmpty = answer.series.length === 0;
	const shown = answer.series.slice(0, SHOWN).map(({ label, total, values }) => ({ label, total, values, isOther: false }));
	const rest = [...answer.series.slice(SHOWN), ...(answer.other && answer.other.total > 0 ? [answer.other] : [])];
	if (rest.length > 0 && !isEmpty) {
		const values = new Array(answer.series[0].values.length).fill(0);
		rest.forEach(one => one.values.forEach((v, i) => { values[i] += v; }));
		shown.push({ label: "other", total: rest.reduce((sum, one) => sum + one.total, 0), values, isOther: true });
	}
	return shown;
}

export class Timeline extends Panel {
	// on: { choose([from, to], isBase), filter(label), by(label key) }
	constructor({ on }) {
		super("timeline-panel", "CPU use over time");
		this.on = on;
		this.answer = null;
		this.sel = this.base = null;
		this.choosesBase = false;
		this.colors = new Map();
		const hint = newId("timeline");
		this.plotBox = h("div", { class: "plot", tabindex: "0", role: "application", "aria-roledescription": "time line", "aria-label":
			"CPU use over time. Left and right arrows move, with Shift they choose a range, Enter takes it.", "aria-describedby": hint,
			onkeydown: event => this.key(event), onblur: () => this.leave() });
		this.plotBox.timeline = this; // for tests and the console
		this.readout = h("div", { class: "readout", id: hint, "aria-live": "polite" });
		this.legend = h("div", { class: "legend", role: "group", "aria-label": "Legend: click filters" });
		this.by = h("select", { class: "small", "aria-label": "Time line by", onchange: () => on.by(this.by.value) }, LABELS.map(key => h("option", { value: key }, `by ${key}`)));
		replace(this.content, h("div", { class: "plot-head" }, this.readout, this.by), this.plotBox, this.legend);
		new ResizeObserver(() => this.resize()).observe(this.plotBox);
	}

	show(answer) {
		this.ready();
		// Not under the finger of who is choosing.
		this.waiting = this.isBrushing ? answer : null;
		if (this.waiting)
			return;
		this.answer = answer;
		this.series = seriesOf(answer);
		this.build();
	}

	setTheme(theme) {
		this.theme = theme;
		if (this.answer)
			this.build();
	}

	follow(state) {
		if (![...this.by.options].some(option => option.value === state.by))
			this.by.append(h("option", { value: state.by }, `by ${visible(state.by)}`));
		this.by.value = state.by;
	}

	// Ranges that are marked: chosen, and compared with.
	mark(sel, base, choosesBase) {
		this.sel = sel;
		this.base = base;
		this.choosesBase = choosesBase;
		this.plotBox.classList.toggle("chooses-base", choosesBase);
		this.plot?.redraw(false);
		this.showReadout(null);
	}

	// A label keeps its colour while the page is open; a new one takes the first that is free.
	chooseColors() {
		const n = this.theme.series.length, taken = new Set();
		this.chosen = this.series.map(({ label, isOther }) => {
			const before = isOther ? undefined : this.colors.get(label);
			if (before === undefined || taken.has(before))
				return undefined;
			taken.add(before);
			return before;
		});
		this.series.forEach(({ label, isOther }, at) => {
			if (isOther || this.chosen[at] !== undefined)
				return;
			let color = 0;
			while (taken.has(color) && color < n - 1)
				color++;
			taken.add(color);
			this.colors.set(label, color);
			this.chosen[at] = color;
		});
		if (this.colors.size > COLORS_KEPT)
			this.colors.clear();
	}

	colorOf(at) {
		return this.series[at].isOther ? this.theme.other : this.theme.series[this.chosen[at]];
	}

	// --- plot ------------------------------------------------------------------------------------------------

	build() {
		if (!this.theme || !this.plotBox.isConnected)
			return;
		const { answer, theme, series } = this;
		this.chooseColors();
		const n = series.length ? series[0].values.length : 1;
		const xs = Array.from({ length: n + 1 }, (_, i) => (answer.from_ms + i * answer.bucket_ms) / 1000);
		xs[n] = Math.min(xs[n], Math.max(answer.to_ms / 1000, xs[n - 1] ?? 0));
		const perBucket = 1 / (answer.bucket_ms * 1e6);
		// The largest sum is drawn first, and the smaller ones over it.
		const sums = [];
		const sum = new Float64Array(n + 1);
		for (const { values } of series) {
			for (let i = 0; i < n; i++)
				sum[i] += values[i] * (answer.unit === "nanoseconds" ? perBucket : 1);
			sum[n] = sum[n - 1];
			sums.unshift(Array.from(sum));
		}
		this.xs = xs;
		this.top = Math.max(...(sums[0] || [0]), 0);
		const axis = { stroke: theme.faint, grid: { stroke: theme.grid, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
		const options = {
			width: Math.max(80, this.plotBox.clientWidth), height: HEIGHT, padding: [8, 6, 0, 0],
			legend: { show: false }, select: { show: false },
			cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
			scales: { x: { time: true, min: answer.from_ms / 1000, max: answer.to_ms / 1000, range: [answer.from_ms / 1000, answer.to_ms / 1000] },
				y: { range: (u, min, max) => [0, Math.max(max * 1.08, answer.unit === "nanoseconds" ? 0.01 : 1)] } },
			axes: [{ ...axis, space: 70, size: 24, values: (u, ticks, index, space, step) => ticks.map(t => this.isAtEdge(t, u.width) ? "" : this.tick(t * 1000, step)) },
				{ ...axis, size: 40, space: 28, values: (u, ticks) => ticks.map(t => answer.unit === "nanoseconds" ? `${+t.toFixed(3)}` : `${t}`) }],
			series: [{}, ...sums.map((_, at) => ({ fill: this.colorOf(series.length - 1 - at), stroke: this.colorOf(series.length - 1 - at), width: 0, paths: stepped, points: { show: false } }))],
			hooks: { draw: [u => this.drawMarks(u)], setCursor: [u => this.showReadout(u.cursor.left >= 0 ? u.cursor.idx : null)] },
		};
		this.plot?.destroy();
		this.plot = new uPlot(options, [xs, ...sums], this.plotBox);
		this.listen(this.plot.over);
		this.showLegend(null);
		this.showReadout(null);
	}

	// Its text would be cut.
	isAtEdge(t, width) {
		const { from_ms: from, to_ms: to } = this.answer;
		return (to - t * 1000) / (to - from) * (width - 46) < 20;
	}

	tick(ms, step) {
		const t = new Date(ms);
		if (step >= 86400 || (t.getHours() === 0 && t.getMinutes() === 0 && t.getSeconds() === 0))
			return day(ms);
		return clock(ms, step < 60);
	}

	resize() {
		const width = this.plotBox.clientWidth;
		if (!this.plot && this.answer)
			this.build();
		else if (this.plot && width > 0 && width !== this.plot.width)
			this.plot.setSize({ width, height: HEIGHT });
	}

	drawMarks(u) {
		const { ctx, bbox } = u, { theme } = this;
		const x = ms => Math.min(bbox.left + bbox.width, Math.max(bbox.left, u.valToPos(ms / 1000, "x", true)));
		ctx.save();
		if (this.sel) {
			// All but the ranges that are marked.
			const [left, right] = this.sel.map(x), others = this.base ? this.base.map(x) : null;
			ctx.beginPath();
			let at = bbox.left;
			for (const [from, to] of [[left, right], ...(others ? [others] : [])].sort((a, b) => a[0] - b[0])) {
				ctx.rect(at, bbox.top, Math.max(0, from - at), bbox.height);
				at = Math.max(at, to);
			}
			ctx.rect(at, bbox.top, bbox.left + bbox.width - at, bbox.height);
			ctx.fillStyle = theme.shade;
			ctx.fill();
			this.edges(ctx, bbox, left, right, theme.selLine, this.base ? "now" : "");
		}
		if (this.base) {
			const [left, right] = this.base.map(x);
			ctx.fillStyle = theme.baseShade;
			ctx.fillRect(left, bbox.top, right - left, bbox.height);
			this.edges(ctx, bbox, left, right, theme.base, "before");
		}
		ctx.restore();
	}

	edges(ctx, bbox, left, right, color, text) {
		const ratio = window.devicePixelRatio || 1;
		ctx.fillStyle = color;
		ctx.fillRect(left - ratio, bbox.top, 2 * ratio, bbox.height);
		ctx.fillRect(right - ratio, bbox.top, 2 * ratio, bbox.height);
		if (!text)
			return;
		ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
		ctx.textBaseline = "top";
		ctx.textAlign = "left";
		ctx.fillText(text, Math.min(left + 5 * ratio, bbox.left + bbox.width - 40 * ratio), bbox.top + 3 * ratio);
	}

	// --- choosing --------------------------------------------------------------------------------------------

	timeAt(x) {
		const { plot, answer } = this;
		const ms = plot.posToVal(Math.min(plot.over.clientWidth, Math.max(0, x)), "x") * 1000;
		return Math.min(answer.to_ms, Math.max(answer.from_ms, ms));
	}

	// Whole buckets: a window belongs to the bucket in which it began.
	snap(a, b) {
		const { from_ms: from, to_ms: to, bucket_ms: step } = this.answer;
		const low = from + Math.floor((Math.min(a, b) - from) / step) * step, high = from + Math.ceil((Math.max(a, b) - from) / step) * step;
		return [Math.round(Math.max(from, low)), Math.round(Math.min(to, Math.max(high, low + step)))];
	}

	listen(over) {
		const brush = h("div", { class: "brush", hidden: true });
		over.append(brush);
		let begin = null;
		const at = event => event.clientX - over.getBoundingClientRect().left;
		over.addEventListener("pointerdown", event => {
			if (event.button !== 0)
				return;
			begin = { x: at(event), isBase: event.shiftKey || this.choosesBase };
			over.setPointerCapture(event.pointerId);
			this.isBrushing = true;
			brush.classList.toggle("base", begin.isBase);
		});
		over.addEventListener("pointermove", event => {
			if (!begin)
				return;
			const x = Math.min(over.clientWidth, Math.max(0, at(event)));
			brush.hidden = Math.abs(x - begin.x) < MIN_DRAG;
			brush.style.left = `${Math.min(x, begin.x)}px`;
			brush.style.width = `${Math.abs(x - begin.x)}px`;
			if (!brush.hidden)
				this.sayRange(this.snap(this.timeAt(begin.x), this.timeAt(x)));
		});
		const finish = () => {
			begin = null;
			brush.hidden = true;
			this.isBrushing = false;
			if (this.waiting)
				queueMicrotask(() => this.waiting && this.show(this.waiting));
		};
		over.addEventListener("pointerup", event => {
			if (!begin)
				return;
			const { x, isBase } = begin, end = at(event);
			finish();
			if (Math.abs(end - x) >= MIN_DRAG)
				this.on.choose(this.snap(this.timeAt(x), this.timeAt(end)), isBase);
			else if (this.sel && !isBase && !this.within(this.timeAt(end), this.sel))
				this.on.choose(null, false);
		});
		over.addEventListener("pointercancel", finish);
		this.brush = brush;
	}

	within(ms, [from, to]) {
		return ms >= from && ms < to;
	}

	key(event) {
		if (!this.plot || event.ctrlKey || event.metaKey || event.altKey)
			return;
		const n = this.xs.length - 1, { from_ms: from, bucket_ms: step, to_ms: to } = this.answer;
		const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -n, End: n }[event.key];
		if (move) {
			event.preventDefault();
			this.cursor = Math.min(n - 1, Math.max(0, (this.cursor ?? (move > 0 ? -1 : n)) + move));
			this.anchor = event.shiftKey ? this.anchor ?? Math.min(n - 1, Math.max(0, this.cursor - move)) : null;
			const left = this.plot.valToPos((from + (this.cursor + 0.5) * step) / 1000, "x");
			this.plot.setCursor({ left, top: 10 });
			this.showReadout(this.cursor);
			if (this.anchor !== null) {
				const range = this.keyRange(from, to, step);
				const [low, high] = range.map(ms => this.plot.valToPos(ms / 1000, "x"));
				this.brush.hidden = false;
				this.brush.classList.toggle("base", this.choosesBase);
				this.brush.style.left = `${low}px`;
				this.brush.style.width = `${high - low}px`;
				this.sayRange(range);
			} else
				this.brush.hidden = true;
		} else if (event.key === "Enter" && this.anchor !== null && this.anchor !== undefined) {
			event.preventDefault();
			const range = this.keyRange(from, to, step);
			this.leave();
			this.on.choose(range, this.choosesBase);
		} else if (event.key === "Escape") {
			if (this.anchor !== null && this.anchor !== undefined)
				this.leave();
			else if (this.sel)
				this.on.choose(null, false);
		}
	}

	keyRange(from, to, step) {
		const low = Math.min(this.anchor, this.cursor), high = Math.max(this.anchor, this.cursor) + 1;
		return [Math.round(from + low * step), Math.round(Math.min(to, from + high * step))];
	}

	leave() {
		this.anchor = null;
		if (this.brush)
			this.brush.hidden = true;
		this.plot?.setCursor({ left: -10, top: -10 });
	}

	// --- texts -----------------------------------------------------------------------------------------------

	sayRange([from, to]) {
		this.readout.textContent = `${range(from, to)} (${span(to - from)})`;
	}

	showReadout(at) {
		if (!this.answer)
			return;
		this.showLegend(at);
		if (at === null || at === undefined || at >= this.xs.length - 1) {
			this.readout.textContent = this.choosesBase ? "Drag over the range to compare with." :
				`${this.answer.unit === "nanoseconds" ? "CPUs in use" : this.answer.type} (steps of ${span(this.answer.bucket_ms)})${this.answer.all_frames ? ", all functions" : ""}${this.sel ? "" : ". Drag to choose a range."}`;
			return;
		}
		const begin = this.answer.from_ms + at * this.answer.bucket_ms;
		const all = this.series.reduce((sum, one) => sum + one.values[at], 0);
		this.readout.textContent = `${day(begin)} ${clock(begin)}: ${this.amount(all)}`;
	}

	amount(inBucket) {
		return this.answer.unit === "nanoseconds" ? `${(inBucket / (this.answer.bucket_ms * 1e6)).toFixed(2)} CPUs` : String(inBucket);
	}

	showLegend(at) {
		const whole = this.series.reduce((sum, one) => sum + one.total, 0);
		const isAtBucket = at !== null && at !== undefined && at < this.xs.length - 1;
		const value = one => isAtBucket ? (this.answer.unit === "nanoseconds" ? (one.values[at] / (this.answer.bucket_ms * 1e6)).toFixed(2) : one.values[at]) :
			share(one.total, whole);
		if (this.legendFor === this.series) {
			this.legendValues.forEach((element, i) => { element.textContent = value(this.series[i]); });
			return;
		}
		this.legendFor = this.series;
		this.legendValues = [];
		replace(this.legend, this.series.map((one, i) => {
			const box = h("i", {}), number = h("span", { class: "legend-value" }, value(one));
			box.style.background = this.colorOf(i);
			this.legendValues.push(number);
			const name = h("span", { class: "legend-name" }, visible(one.label) || "(none)");
			if (one.isOther)
				return h("span", { class: "legend-item" }, box, name, number);
			return h("button", { type: "button", class: "legend-item", title: `Only ${visible(one.label) || "(none)"}: ${this.answer.unit === "nanoseconds" ? duration(one.total) : one.total}`,
				onclick: () => this.on.filter(one.label) }, box, name, number);
		}));
	}
}
