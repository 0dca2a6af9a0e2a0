// Colours of frames. What a colour says: red to yellow is user code (each file of code has its own shade), blue the kernel, green code
// that a runtime made, grey a marker that stands for no function. In a comparison red has grown and blue has shrunk.

export const KINDS = ["user", "kernel", "jit", "marker", "process", "root"];
const USER_SHADES = 12;
const DIFF_STEPS = 16; // each way

const hsl = (h, s, l) => `hsl(${h} ${s}% ${l}%)`;

function palette(isDark) {
	const colors = [];
	for (let i = 0; i < USER_SHADES; i++) {
		const hue = 8 + i * 42 / (USER_SHADES - 1);
		colors.push(isDark ? hsl(hue, 48, 31 + (i % 3) * 3) : hsl(hue, 82, 76 + (i % 3) * 3));
	}
	const kernel = colors.length;
	colors.push(...(isDark ? [hsl(208, 38, 33), hsl(208, 38, 37)] : [hsl(206, 62, 80), hsl(206, 62, 84)]));
	const jit = colors.length;
	colors.push(...(isDark ? [hsl(140, 28, 31), hsl(140, 28, 35)] : [hsl(130, 42, 78), hsl(130, 42, 82)]));
	const marker = colors.push(isDark ? hsl(30, 4, 32) : hsl(30, 6, 82)) - 1;
	const process = colors.push(isDark ? hsl(262, 18, 37) : hsl(262, 40, 86)) - 1;
	const root = colors.push(isDark ? hsl(28, 6, 24) : hsl(30, 12, 90)) - 1;
	const diff = colors.length;
	for (let i = -DIFF_STEPS; i <= DIFF_STEPS; i++) {
		const t = Math.abs(i) / DIFF_STEPS, hue = i < 0 ? 212 : 6;
		colors.push(isDark ? hsl(i ? hue : 30, 6 + 58 * t, 28 + 14 * t) : hsl(i ? hue : 30, 8 + 76 * t, 90 - 25 * t));
	}
	return { colors, kernel, jit, marker, process, root, diff };
}

const LIGHT = {
	...palette(false), text: "#1c1917", faint: "#78716c", background: "#ffffff", unmatched: "#e7e5e4", match: "#d946ef", matchText: "#ffffff",
	selected: "#1c1917", hover: "rgba(0,0,0,.28)", edge: "rgba(28,25,23,.09)", grid: "#e7e5e4", other: "#d6d3d1", base: "#2563eb", shade: "rgba(214,211,209,.62)",
	baseShade: "rgba(37,99,235,.16)", selLine: "#c2410c",
	series: ["#d9622b", "#3f7cac", "#7a9e4c", "#8d6cab", "#d2a13a", "#3c9d94", "#b85573", "#5b6fb5", "#e0a458", "#6aa9d8", "#b3b04a", "#c98bb9", "#59876a", "#e08e6d", "#5aa469"],
};
const DARK = {
	...palette(true), text: "#f5f2ef", faint: "#a8a29e", background: "#1f1c1a", unmatched: "#36312d", match: "#c026d3", matchText: "#ffffff",
	selected: "#fafaf9", hover: "rgba(255,255,255,.4)", edge: "rgba(0,0,0,.28)", grid: "#332e2a", other: "#57534e", base: "#60a5fa", shade: "rgba(12,10,9,.55)",
	baseShade: "rgba(96,165,250,.24)", selLine: "#fb923c",
	series: ["#d9703c", "#4a86b5", "#7f9f55", "#9278ad", "#c79b40", "#459c94", "#b4607a", "#6878b8", "#cf9a55", "#6f9fc4", "#a5a34f", "#b985ab", "#62896f", "#cf8a6d", "#62a06f"],
};

export const themeOf = name => name === "dark" ? DARK : LIGHT;

function hashOf(text) {
	let hash = 5381;
	for (let i = 0; i < text.length; i++)
		hash = Math.imul(hash, 33) ^ text.charCodeAt(i);
	return (hash ^ (hash >>> 13)) >>> 0;
}

// A name in square brackets stands for no function: "[truncated: REASON]", "[unmapped]"; "[libc.so+0x1234]" is code without a symbol.
const isMarker = name => name.startsWith("[") && name.endsWith("]") && !name.includes("+0x");

export function kindOf(layout, i, hasProcesses) {
	if (i === 0)
		return "root";
	if (hasProcesses && layout.nodes.depth[i] === 1)
		return "process";
	if (isMarker(layout.name(i)))
		return "marker";
	if (layout.nodes.kernel[i])
		return "kernel";
	return layout.module(i) === "[jit]" ? "jit" : "user";
}

// For each node its place in theme.colors; the same in both themes.
export function colorsOf(layout, hasProcesses) {
	const { n, nodes } = layout;
	const theme = LIGHT;
	const color = new Uint8Array(n);
	if (layout.isDiff) {
		let most = 0;
		for (let i = 1; i < n; i++)
			most = Math.max(most, Math.abs(layout.change(i)));
		// Shares that changed by little stay visible: a root makes them stronger.
		for (let i = 0; i < n; i++) {
			const change = layout.change(i), t = most > 0.0005 ? Math.sqrt(Math.min(1, Math.abs(change) / most)) : 0;
			color[i] = theme.diff + DIFF_STEPS + Math.sign(change) * Math.round(t * DIFF_STEPS);
		}
		return color;
	}
	const shadeOfModule = layout.tables.modules.map(module => hashOf(module) % USER_SHADES);
	const lightness = layout.tables.names.map(name => hashOf(name) & 1);
	for (let i = 0; i < n; i++) {
		const kind = kindOf(layout, i, hasProcesses);
		if (kind === "user")
			color[i] = shadeOfModule[nodes.module[i]] ?? 0;
		else if (kind === "kernel" || kind === "jit")
			color[i] = theme[kind] + lightness[nodes.name[i]];
		else
			color[i] = theme[kind];
	}
	return color;
}

// For the legend.
export function sampleColor(theme, kind) {
	return kind === "user" ? theme.colors[4] : kind === "less" ? theme.colors[theme.diff + 2] : kind === "more" ? theme.colors[theme.diff + 2 * DIFF_STEPS - 2] :
		kind === "same" ? theme.colors[theme.diff + DIFF_STEPS] : theme.colors[theme[kind]];
}
