// A real browser on the page: a recorded store, a server, Chromium; for the tests and the pictures.
//
// The server is hearth-web, of a `hearth agent` on the recorded store (root); between it and the browser is tests/web/dev_server.py, which can delay, fail and replace answers. With API_GET it asks
// that program and there is no agent. HEARTH: the binary. PAGE_STORE: a store with recorded.json beside its folder; else one is recorded. SCREENSHOTS: a folder.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const repo = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const build = path.resolve(repo, process.env.BUILD ?? "build");
const hearth = process.env.HEARTH ?? path.join(build, "hearth");
const screenshots = process.env.SCREENSHOTS ?? path.join(build, "tests/web/screenshots");

const PATIENCE_MS = 60000; // for what is to come: a machine may stand still for seconds
export const SIZES = { laptop: { width: 1280, height: 800 }, phone: { width: 360, height: 740 } };

export function recordedStore(seconds = 12, plain = false) {
	// What runs once more (tests/run) has a recording of its own: the fault may be the recording's.
	const again = process.env.TESTS_ONLY !== undefined;
	const store = process.env.PAGE_STORE ?? path.join(build, `tests/web/recorded${again ? "-again" : ""}/store`);
	const told = path.join(path.dirname(store), "recorded.json");
	// Windows of an hour ago are merged into minutes: the halves of what was recorded are one then.
	const isOld = existsSync(told) && Date.now() - JSON.parse(readFileSync(told, "utf8")).from_ms > 30 * 60e3;
	if ((again || isOld) && !process.env.PAGE_STORE)
		rmSync(path.dirname(store), { recursive: true, force: true });
	if (!existsSync(told)) {
		const done = spawnSync("python3", [path.join(repo, "tests/web/record.py"), hearth, store, String(seconds), ...(plain ? ["plain"] : [])], { encoding: "utf8", timeout: 300000 });
		if (done.status !== 0)
			throw new Error(`recording failed: ${done.stderr}${done.stdout}`);
	}
	return { store, ...JSON.parse(readFileSync(told, "utf8")) };
}

const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

// An agent whose windows go into the recorded store too.
async function startAgent(store) {
	const folder = path.dirname(store);
	const child = spawn(hearth, ["agent", "--store", store, "--window", "2", "--listen", "127.0.0.1:0", "--config", ""], { stdio: ["ignore", "ignore", "pipe"],
		env: { ...process.env, HEARTH_CONTROL: path.join(folder, "control.sock"), CACHE_DIRECTORY: path.join(folder, "cache"), STATE_DIRECTORY: path.join(folder, "state"), HEARTH_WINDOW_JITTER: "false" } });
	let said = "";
	child.stderr.on("data", data => { said += data; });
	for (let tries = 0; tries < 1000 && child.exitCode === null; tries++) {
		const url = /the page is at (http:\/\/[^/\s]+)\//.exec(said)?.[1];
		const answer = url && await fetch(`${url}/healthz`).catch(() => null);
		if (answer?.ok)
			return { url, child };
		await pause(100);
	}
	child.kill("SIGKILL");
	throw new Error(`the agent's page does not answer: ${said.slice(-1000)}`);
}

// { url, stop() }
export async function startServer(store) {
	const agent = process.env.API_GET ? null : await startAgent(store);
	const child = spawn("python3", [path.join(repo, "tests/web/dev_server.py"), "0", path.join(build, "web"), process.env.API_GET ?? agent.url, store], { stdio: ["ignore", "pipe", "inherit"] });
	const url = await new Promise((resolve, reject) => {
		child.stdout.once("data", data => resolve(String(data).trim()));
		child.once("exit", code => reject(new Error(`the server ended with ${code}`)));
	});
	const ended = one => one.exitCode !== null || one.signalCode !== null ? null : new Promise(resolve => one.once("exit", resolve));
	// Till the store is nobody's any more: these tests may be run again at once.
	const stop = async () => {
		child.kill("SIGTERM");
		agent?.child.kill("SIGTERM");
		await Promise.race([Promise.all([ended(child), agent && ended(agent.child)]), pause(60000)]);
	};
	return { url, upstream: agent?.url, stop };
}

export async function startBrowser() {
	const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
	return chromium.launch({ executablePath, timeout: PATIENCE_MS, args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"] });
}

export class Browser {
	constructor(browser, server, data) {
		Object.assign(this, { browser, server, data, problems: [], requests: [] });
	}

	static async start({ seconds, plain } = {}) {
		const data = recordedStore(seconds, plain);
		const server = await startServer(data.store);
		return new Browser(await startBrowser(), server, data);
	}

	// A page of its own. What the browser complains about (the Content-Security-Policy above all) is a failure of the test: see close().
	async open({ size = "laptop", theme = "light", hash = "", wait = true, path: at = "/", touch = size === "phone", ratio = 1 } = {}) {
		await this.close();
		this.context = await this.browser.newContext({ viewport: SIZES[size] ?? size, colorScheme: theme, hasTouch: touch, isMobile: size === "phone", deviceScaleFactor: ratio,
			permissions: ["clipboard-read", "clipboard-write"], acceptDownloads: true, reducedMotion: "reduce" });
		const page = this.page = await this.context.newPage();
		this.problems = [];
		this.requests = [];
		this.expected = [];
		page.on("console", message => ["error", "warning"].includes(message.type()) && this.problems.push(`${message.type()}: ${message.text()}`));
		page.on("pageerror", error => this.problems.push(`error: ${error.stack}`));
		page.on("request", request => this.requests.push(request.url()));
		page.on("dialog", dialog => {
			this.problems.push(`a dialog: ${dialog.message()}`);
			dialog.dismiss();
		});
		page.setDefaultTimeout(PATIENCE_MS);
		await page.goto(`${this.server.url}${at}${hash ? `#${hash}` : ""}`);
		if (wait)
			await this.settled();
		return page;
	}

	// Complaints that a test causes on purpose.
	expects(pattern) {
		this.expected.push(pattern);
	}

	async close() {
		if (!this.context)
			return;
		const problems = this.problems.filter(problem => !this.expected.some(pattern => pattern.test(problem)));
		const elsewhere = this.requests.filter(url => !url.startsWith(this.server.url) && !url.startsWith("data:") && !url.startsWith("blob:"));
		await this.context.close();
		this.context = null;
		if (problems.length)
			throw new Error(`the browser complained: ${problems.join("\n")}`);
		if (elsewhere.length)
			throw new Error(`requests elsewhere: ${elsewhere.join("\n")}`);
	}

	async stop() {
		await this.context?.close();
		await this.browser.close();
		await this.server.stop();
	}

	// All answers are there and drawn.
	async settled() {
		await this.page.waitForFunction(() => document.querySelector(".agent i") && !document.querySelector("[aria-busy]:not([hidden])") &&
			document.querySelector(".panel:not(.timeline-panel):not([hidden]) .panel-content:not([hidden]), .panel:not(.timeline-panel):not([hidden]) .message:not([hidden])"));
		await this.page.evaluate(() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))));
	}

	async control(what, parameters = {}, body) {
		const answer = await fetch(`${this.server.url}/test/${what}?${new URLSearchParams(parameters)}`, body === undefined ? {} : { method: "POST", body });
		return answer.json();
	}

	// What comes to be so. is: a function, or one that promises.
	async until(is, what) {
		for (const end = performance.now() + PATIENCE_MS; !await is();) {
			if (performance.now() > end)
				throw new Error(`it is not so: ${what}`);
			await pause(50);
		}
	}

	// The recorded time, as an address says it.
	range(more = "") {
		return `from=${this.data.from_ms}&to=${this.data.to_ms}${more ? `&${more}` : ""}`;
	}

	// Where a frame is on the screen; it is scrolled to. which: of several of that name.
	async frame(name, which = 0) {
		const box = await this.page.evaluate(([name, which]) => {
			const canvas = document.querySelector(".flame-panel canvas"), { flame } = canvas, { layout } = flame;
			const found = [];
			for (let i = 0; i < layout.n; i++)
				if (layout.name(i) === name && flame.rectOf(i)?.width > 1)
					found.push(i);
			found.sort((a, b) => layout.weight[b] - layout.weight[a]);
			if (found.length <= which)
				return null;
			flame.reveal(found[which]);
			const y = canvas.getBoundingClientRect().top + flame.rectOf(found[which]).y;
			if (y < 0 || y + flame.rowHeight > window.innerHeight)
				window.scrollBy(0, y - window.innerHeight / 2);
			const rect = flame.rectOf(found[which]), at = canvas.getBoundingClientRect();
			return { x: at.left + rect.x + rect.width / 2, y: at.top + rect.y + rect.height / 2, width: rect.width, node: found[which], total: layout.nodes.total[found[which]],
				share: layout.nodes.total[found[which]] / layout.total };
		}, [name, which]);
		if (!box)
			throw new Error(`no frame ${name} on the screen`);
		return box;
	}

	async clickFrame(name, options) {
		const { x, y } = await this.frame(name);
		await this.page.mouse.click(x, y, options);
		await this.settled();
	}

	zoomedName() {
		return this.page.evaluate(() => {
			const { flame } = document.querySelector(".flame-panel canvas");
			return flame.layout.name(flame.zoomed);
		});
	}

	selectedName() {
		return this.page.evaluate(() => {
			const { flame } = document.querySelector(".flame-panel canvas");
			return flame.layout.name(flame.selected);
		});
	}

	// Of the time line: the place of a moment.
	async plotX(ms) {
		return this.page.evaluate(ms => {
			const over = document.querySelector(".plot .u-over").getBoundingClientRect();
			const app = document.querySelector(".plot").timeline;
			const { from_ms: from, to_ms: to } = app.answer;
			return { x: over.left + (ms - from) / (to - from) * over.width, y: over.top + over.height / 2 };
		}, ms);
	}

	async brush(from, to, { shift = false } = {}) {
		const a = await this.plotX(from), b = await this.plotX(to), { mouse, keyboard } = this.page;
		if (shift)
			await keyboard.down("Shift");
		await mouse.move(a.x, a.y);
		await mouse.down();
		await mouse.move((a.x + b.x) / 2, a.y, { steps: 3 });
		await mouse.move(b.x, a.y, { steps: 3 });
		const before = await this.page.evaluate(() => location.hash);
		await mouse.up();
		if (shift)
			await keyboard.up("Shift");
		await this.page.waitForFunction(before => location.hash !== before, before); // it chooses another range
		await this.settled();
	}

	async shot(name, options = {}) {
		mkdirSync(screenshots, { recursive: true });
		await this.page.screenshot({ path: path.join(screenshots, `${name}.png`), ...options });
	}
}
