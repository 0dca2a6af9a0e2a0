// Bundle the page into a folder: node build.mjs OUTPUT. Writes index.html, app-HASH.js and app-HASH.css; what older builds left there goes.
import { build } from "esbuild";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const source = path.dirname(fileURLToPath(import.meta.url));
const output = path.resolve(process.argv[2] ?? "dist");

await mkdir(output, { recursive: true });
for (const name of await readdir(output))
	if (/^app-[A-Z0-9]+\.(js|css)$/.test(name))
		await rm(path.join(output, name));

// Licences of the libraries in the bundle travel with it.
const licences = await Promise.all(["uplot"].map(async name => {
	const folder = path.join(source, "node_modules", name);
	const { version, license } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
	return `${name} ${version} (${license})\n\n${(await readFile(path.join(folder, "LICENSE"), "utf8")).trim()}`;
}));

// Names are hashes of the contents: they may be cached for ever.
const { metafile } = await build({
	entryPoints: { app: path.join(source, "src/main.js") },
	outdir: output,
	entryNames: "[name]-[hash]",
	bundle: true,
	minify: true,
	format: "esm",
	target: ["chrome100", "firefox100", "safari15.4"],
	legalComments: "none",
	banner: { js: `/*!\n${licences.join("\n\n").replaceAll("*/", "* /")}\n*/` },
	metafile: true,
	logLevel: "warning",
});
const files = Object.keys(metafile.outputs).map(file => path.basename(file));
const page = await readFile(path.join(source, "src/index.html"), "utf8");
// index.html is written last: it is what make looks at.
await writeFile(path.join(output, "index.html"), page.replace("STYLE", files.find(name => name.endsWith(".css"))).replace("SCRIPT", files.find(name => name.endsWith(".js"))));
