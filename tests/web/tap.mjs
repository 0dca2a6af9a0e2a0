// TAP output for the page's tests: test(name, function), then run(). An argument on the command line chooses tests by text, a file that
// TESTS_ONLY names by their names.
import { readFileSync } from "node:fs";

const tests = [];
export const measured = [];

export function test(name, does) {
	tests.push({ name, does });
}

export class Skip extends Error {}

export async function run({ before = async () => null, after = async () => {}, afterEach = async () => {} } = {}) {
	const wanted = process.argv[2] ?? "";
	const only = process.env.TESTS_ONLY && readFileSync(process.env.TESTS_ONLY, "utf8").split("\n");
	const chosen = tests.filter(({ name }) => name.includes(wanted) && (!only || only.includes(name)));
	let failed = 0, number = 0;
	const context = await before();
	for (const { name, does } of chosen) {
		number++;
		const begin = performance.now();
		try {
			await does(context);
			await afterEach(context);
			console.log(`ok ${number} - ${name}`);
			if (process.env.TIMES)
				console.log(`# ${Math.round(performance.now() - begin)} ms`);
		} catch (error) {
			await afterEach(context).catch(() => {});
			if (error instanceof Skip) {
				console.log(`ok ${number} - ${name} # SKIP ${error.message}`);
				continue;
			}
			failed++;
			console.log(`not ok ${number} - ${name}`);
			console.log(String(error.stack ?? error).split("\n").slice(0, 14).map(line => `# ${line}`).join("\n"));
		}
	}
	measured.forEach(line => console.log(`# measured: ${line}`));
	await after(context);
	console.log(`1..${number}`);
	process.exit(failed ? 1 : 0);
}
