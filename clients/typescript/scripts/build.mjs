// Writes dist/, the package, and web/client.js of the server: the same client as one file for pages without tools.
//
//   node scripts/build.mjs            both
//   node scripts/build.mjs --check    writes nothing outside of dist/ and fails if web/client.js is not current

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const BANNER = "// The client of chaincast, from clients/typescript by `make generate`; do not edit. MIT OR Apache-2.0.";

rmSync(folder("dist"), { recursive: true, force: true });
execFileSync(process.execPath, [folder("node_modules/typescript/bin/tsc"), "-p", folder("tsconfig.json")], { stdio: "inherit" });

const { outputFiles } = await build({
  entryPoints: [folder("src/browser.ts")],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  banner: { js: BANNER },
  write: false,
});
const page = folder("../../web/client.js");
const [{ text }] = outputFiles;
if (!process.argv.includes("--check")) writeFileSync(page, text);
else if (readFileSync(page, "utf8") !== text) {
  console.error("web/client.js is not current: run `make generate`");
  process.exit(1);
}
