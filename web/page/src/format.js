// Numbers and times as people read them.

const group = new Intl.NumberFormat("en-US");
export const count = n => group.format(Math.round(n));

export const many = (n, one, more = `${one}s`) => `${count(n)} ${Math.round(n) === 1 ? one : more}`;

// Three digits, without zeros that say nothing.
function three(x) {
	const digits = x >= 100 ? 0 : x >= 10 ? 1 : 2;
	return x.toFixed(digits);
}

export function duration(ns) {
	const sign = ns < 0 ? "−" : "", t = Math.abs(ns);
	if (t === 0)
		return "0 s";
	if (t < 1e3)
		return `${sign}${three(t)} ns`;
	if (t < 1e6)
		return `${sign}${three(t / 1e3)} µs`;
	if (t < 1e9)
		return `${sign}${three(t / 1e6)} ms`;
	if (t < 120e9)
		return `${sign}${three(t / 1e9)} s`;
	if (t < 120 * 60e9)
		return `${sign}${three(t / 60e9)} min`;
	return `${sign}${three(t / 3600e9)} h`;
}

export const value = (n, unit) => unit === "nanoseconds" || !unit ? duration(n) : n < 0 ? `−${count(-n)}` : count(n);

export function share(part, whole) {
	if (!whole || !part)
		return "0 %";
	const percent = part / whole * 100;
	if (percent < 0.01)
		return "<0.01 %";
	return `${percent >= 99.95 ? Math.round(percent) : percent < 1 ? percent.toFixed(2) : percent.toFixed(1)} %`;
}

// The difference of two shares, in percentage points.
export function points(difference) {
	const x = difference * 100;
	if (Math.abs(x) < 0.005)
		return "0.00";
	return `${x > 0 ? "+" : "−"}${Math.abs(x).toFixed(Math.abs(x) < 10 ? 2 : 1)}`;
}

export function bytes(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let at = 0;
	for (; n >= 1024 && at < units.length - 1; at++)
		n /= 1024;
	return `${at ? three(n) : n} ${units[at]}`;
}

const two = n => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function clock(ms, seconds = true) {
	const t = new Date(ms);
	return `${two(t.getHours())}:${two(t.getMinutes())}${seconds ? `:${two(t.getSeconds())}` : ""}`;
}

export function day(ms) {
	const t = new Date(ms);
	return `${t.getDate()} ${MONTHS[t.getMonth()]}`;
}

// As the fields for times take it.
export function dateTime(ms) {
	const t = new Date(ms);
	return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${clock(ms)}`;
}

const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

export function range(from, to) {
	const seconds = to - from < 15 * 60e3;
	const now = Date.now();
	const first = sameDay(from, now) ? "" : `${day(from)} `;
	const second = sameDay(from, to) ? "" : `${day(to)} `;
	return `${first}${clock(from, seconds)} – ${second}${clock(to, seconds)}`;
}

// A length of wall clock time: "15 min", "1 h 30 min", "2 d".
export function span(ms) {
	let s = Math.round(ms / 1000);
	if (s < 120)
		return `${s} s`;
	const parts = [];
	for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
		const n = Math.floor(s / length);
		s -= n * length;
		if (n)
			parts.push(`${n} ${unit}`);
	}
	return parts.slice(0, 2).join(" ");
}
