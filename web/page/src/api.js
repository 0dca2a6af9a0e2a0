// Questions to the server. One that is superseded is aborted; answers about one and the same range are kept for a while, so that
// going back costs nothing.

const KEPT = 16;
const RETRIES = 2;

export class ApiError extends Error {
	constructor(status, message) {
		super(message);
		this.status = status; // 0: no answer at all
	}
}

export function apiPath(name, parameters) {
	const query = [];
	for (const [key, value] of parameters)
		if (value !== "" && value !== null && value !== undefined)
			query.push(`${key}=${encodeURIComponent(value)}`);
	return `api/v1/${name}${query.length ? `?${query.join("&")}` : ""}`;
}

const pause = (seconds, signal) => new Promise((resolve, reject) => {
	const timer = setTimeout(resolve, seconds * 1000);
	signal.addEventListener("abort", () => {
		clearTimeout(timer);
		reject(signal.reason);
	}, { once: true });
});

async function fetchOnce(path, signal) {
	let response;
	try {
		response = await fetch(path, { signal, headers: { Accept: "application/json" }, credentials: "same-origin" });
	} catch (error) {
		if (signal.aborted)
			throw error;
		throw new ApiError(0, "The server does not answer.");
	}
	let answer = null;
	try {
		answer = await response.json();
	} catch (error) {
		if (signal.aborted)
			throw error;
	}
	if (response.ok && answer)
		return { answer };
	const sentence = answer && typeof answer.error === "string" ? answer.error : `The server answered with status ${response.status}.`;
	const wait = Number(response.headers.get("Retry-After"));
	return { error: new ApiError(response.status, sentence), wait: wait > 0 ? Math.min(wait, 10) : 1 };
}

// A file: { blob, name }. Throws an ApiError.
export async function fetchFile(path) {
	const response = await fetch(path, { credentials: "same-origin" }).catch(() => {
		throw new ApiError(0, "The server does not answer.");
	});
	if (!response.ok) {
		const answer = await response.json().catch(() => null);
		throw new ApiError(response.status, answer && typeof answer.error === "string" ? answer.error : `The server answered with status ${response.status}.`);
	}
	const found = /filename="([^"]{1,200})"/.exec(response.headers.get("Content-Disposition") ?? "");
	return { blob: await response.blob(), name: found ? found[1] : "hearth-profile" };
}

const kept = new Map();

function keep(path, answer) {
	kept.delete(path);
	kept.set(path, answer);
	if (kept.size > KEPT)
		kept.delete(kept.keys().next().value);
}

// A busy server (503) is asked again, a few times.
export async function ask(path, signal, { keeps = true } = {}) {
	if (keeps && kept.has(path)) {
		const answer = kept.get(path);
		keep(path, answer);
		return answer;
	}
	for (let tries = 0; ; tries++) {
		const { answer, error, wait } = await fetchOnce(path, signal);
		if (answer) {
			if (keeps)
				keep(path, answer);
			return answer;
		}
		if (error.status !== 503 || tries >= RETRIES)
			throw error;
		await pause(wait, signal);
	}
}

// One place on the page that shows the answer to one question: the same question is not asked twice, a new one aborts the one before.
export class Question {
	constructor({ onLoading, onAnswer, onError }) {
		Object.assign(this, { onLoading, onAnswer, onError });
		this.path = null;
		this.controller = null;
		this.failed = false;
	}

	get isRunning() {
		return this.controller !== null;
	}

	async ask(path, { again = false } = {}) {
		if (path === this.path && !again && !this.failed)
			return;
		this.abort();
		const controller = this.controller = new AbortController();
		this.path = path;
		this.failed = false;
		this.onLoading();
		try {
			const answer = await ask(path, controller.signal, { keeps: !again });
			if (this.controller === controller) {
				this.controller = null;
				this.onAnswer(answer);
			}
		} catch (error) {
			if (this.controller !== controller)
				return;
			this.controller = null;
			this.failed = true;
			this.onError(error instanceof ApiError ? error : new ApiError(-1, `The page could not show the answer: ${error.message}`));
			if (!(error instanceof ApiError))
				console.error(error);
		}
	}

	abort() {
		if (this.controller)
			this.controller.abort();
		this.controller = null;
	}

	forget() {
		this.abort();
		this.path = null;
	}
}
