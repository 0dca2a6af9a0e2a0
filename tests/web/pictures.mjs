// Pictures of each view for docs/, from a recorded store: node tests/web/pictures.mjs FOLDER. Each is made to fit 100 KiB: fewer colours if it must (pngquant).

import { spawnSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { Browser } from "./page_harness.mjs";

const MOST = 100 * 1024;
const SIZE = { width: 1200, height: 720 };
const folder = path.resolve(process.argv[2] ?? "docs/pictures");
mkdirSync(folder, { recursive: true });

const b = await Browser.start({ seconds: 24, plain: true });

async function picture(name, options = {}) {
	const file = path.join(folder, `${name}.png`);
	await b.page.waitForTimeout(100);
	await b.page.screenshot({ path: file, ...options });
	if (statSync(file).size > MOST)
		spawnSync("pngquant", ["--force", "--ext", ".png", "--speed", "1", "96", file], { stdio: "inherit" });
	console.log(`${file} ${statSync(file).size}`);
	if (statSync(file).size > MOST)
		throw new Error(`${file} is larger than ${MOST} bytes`);
}

const shop = more => b.range(`match=process:shop${more ? `&${more}` : ""}`);
// What else runs on the machine is not in the pictures.
const all = more => b.range([b.data.unit && `match=unit:${b.data.unit}`, more].filter(Boolean).join("&"));
try {
	await b.open({ size: SIZE, hash: all() });
	await picture("page");
	await b.open({ size: SIZE, theme: "dark", hash: all() });
	await picture("page-dark");
	await b.open({ size: "phone", ratio: 2, hash: all() });
	await picture("page-phone");

	await b.open({ size: SIZE, hash: shop("q=sign_") });
	const { x, y } = await b.frame("sign_bytewise");
	await b.page.mouse.move(x, y);
	await picture("search");

	await b.open({ size: SIZE, hash: all("view=functions") });
	await picture("functions");
	await b.open({ size: SIZE, hash: all("view=sandwich&fn=price_order") });
	await picture("sandwich");
	await b.open({ size: SIZE, hash: all("view=lines&fn=sign_bytewise") });
	await picture("lines");

	await b.open({ size: SIZE, hash: all() });
	await b.page.getByRole("button", { name: "Filter", exact: true }).click();
	await b.page.locator(".filter-values button").first().waitFor();
	await picture("filter");

	await b.open({ size: SIZE, hash: shop() });
	await b.brush(b.data.middle_ms + 1000, b.data.to_ms - 500);
	await b.brush(b.data.from_ms + 500, b.data.middle_ms - 1000, { shift: true });
	await b.page.evaluate(() => document.activeElement.blur());
	await picture("compare");
	await b.page.getByRole("tab", { name: "Functions" }).click();
	await b.settled();
	await picture("compare-functions");
	await b.close();
} finally {
	await b.stop();
}
