// A tree of stacks as the server sends it (columns, in pre-order), made ready for drawing and walking. Nothing here knows a canvas.
//
// Widths: a node is as wide as its value; in a comparison as the sum of its two shares, so that what is gone and what is new both
// have room. Nodes of one depth are in the order of their beginnings, so that a level is searched by bisection, and drawing costs
// what fits on the screen, not what is in the tree.

const FNV_PRIME = 16777619;

function hashText(text, seed) {
	let hash = seed;
	for (let i = 0; i < text.length; i++)
		hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
	return hash >>> 0;
}

const mix = (hash, more) => Math.imul((hash ^ more) >>> 0, 0x85ebca6b) ^ (hash >>> 15);

export class FlameLayout {
	// nodes: { depth, name, module, file, kernel, total, self [, base_total, base_self] }; tables: { names, modules, files }.
	constructor(nodes, tables, { total, baseTotal = 0 } = {}) {
		const n = nodes.depth.length;
		if (n === 0 || nodes.depth[0] !== 0)
			throw new Error("the tree has no root");
		for (const column of ["name", "module", "file", "kernel", "total", "self"])
			if (nodes[column].length !== n)
				throw new Error(`column ${column} has another length`);
		this.n = n;
		this.nodes = nodes;
		this.tables = tables;
		this.total = total ?? nodes.total[0];
		this.baseTotal = baseTotal;
		this.isDiff = Boolean(nodes.base_total);
		this.link();
		this.place();
	}

	// parent, end (the index behind the subtree).
	link() {
		const { n, nodes: { depth } } = this;
		this.parent = new Int32Array(n).fill(-1);
		this.end = new Int32Array(n).fill(n);
		const open = [0];
		let deepest = 0;
		for (let i = 1; i < n; i++) {
			if (!(depth[i] >= 1 && depth[i] <= open.length))
				throw new Error("the tree's depths do not follow each other");
			while (open.length > depth[i])
				this.end[open.pop()] = i;
			this.parent[i] = open[open.length - 1];
			open.push(i);
			if (depth[i] > deepest)
				deepest = depth[i];
		}
		this.deepest = deepest;
	}

	// weight, start and levels.
	place() {
		const { n, nodes, parent } = this;
		this.weight = new Float64Array(n);
		this.start = new Float64Array(n);
		const perTotal = this.isDiff ? 1 / (this.total || 1) : 1, perBase = this.isDiff ? 1 / (this.baseTotal || 1) : 0;
		const used = new Float64Array(n);
		const counts = new Int32Array(this.deepest + 1);
		for (let i = 0; i < n; i++) {
			this.weight[i] = Math.max(0, nodes.total[i]) * perTotal + (this.isDiff ? Math.max(0, nodes.base_total[i]) * perBase : 0);
			if (i > 0) {
				const up = parent[i];
				this.start[i] = this.start[up] + used[up];
				used[up] += this.weight[i];
			}
			counts[nodes.depth[i]]++;
		}
		this.levels = Array.from(counts, size => new Int32Array(size));
		counts.fill(0);
		for (let i = 0; i < n; i++)
			this.levels[nodes.depth[i]][counts[nodes.depth[i]]++] = i;
	}

	name(i) { return this.tables.names[this.nodes.name[i]] ?? "?"; }
	module(i) { return this.tables.modules[this.nodes.module[i]] ?? ""; }
	file(i) { return this.tables.files[this.nodes.file[i]] ?? ""; }

	// The share's change of a node, of a comparison: in [-1, 1].
	change(i) {
		return this.nodes.total[i] / (this.total || 1) - this.nodes.base_total[i] / (this.baseTotal || 1);
	}

	// In the nodes of one level: the place of the first that ends behind a value.
	firstBehind(level, at, low = 0) {
		const { start, weight } = this;
		let high = level.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (start[level[middle]] + weight[level[middle]] > at)
				high = middle;
			else
				low = middle + 1;
		}
		return low;
	}

	// The node of a depth that covers a value; -1: none.
	at(depth, value) {
		const level = this.levels[depth];
		if (!level)
			return -1;
		const i = this.firstBehind(level, value);
		return i < level.length && this.start[level[i]] <= value ? level[i] : -1;
	}

	*children(i) {
		for (let child = i + 1; child < this.end[i]; child = this.end[child])
			yield child;
	}

	largestChild(i) {
		let best = -1;
		for (const child of this.children(i))
			if (best < 0 || this.weight[child] > this.weight[best])
				best = child;
		return best;
	}

	// The next node of the same depth to the right (+1) or left (-1) below an ancestor; -1: none.
	neighbour(i, step, within = 0) {
		const level = this.levels[this.nodes.depth[i]];
		let low = 0, high = level.length - 1;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (level[middle] < i)
				low = middle + 1;
			else
				high = middle;
		}
		for (let at = low + step; at >= 0 && at < level.length; at += step) {
			const next = level[at];
			if (next < within || next >= this.end[within])
				return -1;
			if (this.weight[next] > 0)
				return next;
		}
		return -1;
	}

	// From the root to the node.
	path(i) {
		const path = [];
		for (let at = i; at >= 0; at = this.parent[at])
			path.push(at);
		return path.reverse();
	}

	deepestBelow(i) {
		const { depth } = this.nodes;
		let deepest = depth[i];
		for (let at = i + 1; at < this.end[i]; at++)
			if (depth[at] > deepest)
				deepest = depth[at];
		return deepest;
	}

	// A short name of a path of names, which is the same in other answers that have that path: 64 bits of hash. Made when first needed.
	hashes() {
		if (this.hashed)
			return this.hashed;
		const { names } = this.tables;
		const one = Uint32Array.from(names, name => hashText(name, 0x811c9dc5)), two = Uint32Array.from(names, name => hashText(name, 0x01234567));
		const a = new Uint32Array(this.n), b = new Uint32Array(this.n);
		for (let i = 0; i < this.n; i++) {
			const up = this.parent[i], name = this.nodes.name[i];
			a[i] = up < 0 ? 1 : mix(a[up], one[name]);
			b[i] = up < 0 ? 2 : mix(b[up], two[name]);
		}
		return this.hashed = [a, b];
	}

	pathId(i) {
		const [a, b] = this.hashes();
		return i === 0 ? "" : a[i].toString(16).padStart(8, "0") + b[i].toString(16).padStart(8, "0");
	}

	// The node with that path; -1: not here.
	find(pathId) {
		if (!pathId)
			return 0;
		if (!/^[0-9a-f]{16}$/.test(pathId))
			return -1;
		const [a, b] = this.hashes();
		const first = parseInt(pathId.slice(0, 8), 16), second = parseInt(pathId.slice(8), 16);
		for (let i = 1; i < this.n; i++)
			if (a[i] === first && b[i] === second)
				return i;
		return -1;
	}

	// Which names match, and what share of all they have; what lies below several matches counts once.
	// A pattern that takes too long is given up: { tooSlow: true }.
	search(pattern, { milliseconds = 1500 } = {}) {
		const { names } = this.tables;
		const isMatch = new Uint8Array(names.length);
		const deadline = performance.now() + milliseconds;
		for (let name = 0; name < names.length; name++) {
			isMatch[name] = pattern.test(names[name]) ? 1 : 0;
			if ((name & 63) === 0 && performance.now() > deadline)
				return { tooSlow: true };
		}
		let total = 0, base = 0, frames = 0;
		for (let i = 0, counted = 0; i < this.n; i++) {
			if (!isMatch[this.nodes.name[i]] || i === 0)
				continue;
			frames++;
			if (i < counted)
				continue;
			total += this.nodes.total[i];
			base += this.isDiff ? this.nodes.base_total[i] : 0;
			counted = this.end[i];
		}
		isMatch[this.nodes.name[0]] = 0;
		return { isMatch, total, base, frames };
	}
}
