// The package as an application sees it: its exports in Node.js, and its types.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { after, test } from "node:test";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installed } from "./packed.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
// Beside the node_modules that the package is in, so that it is found by its name.
const application = join(installed, "../..");
const run = (...args) => spawnSync(process.execPath, args, { cwd: application, encoding: "utf8" });
const source = join(application, "application.mts");
after(() => rmSync(source, { force: true }));

test("Node.js finds what the package exports, and nothing else", () => {
  const code = `import { createClient, lossless } from "chaincast"; import { msgpack } from "chaincast/msgpack"; console.log(typeof createClient, typeof lossless, msgpack.protocol);`;
  assert.equal(run("--input-type=module", "-e", code).stdout, "function function chaincast.v1.msgpack\n");
  assert.match(run("--input-type=module", "-e", `import "chaincast/core/core.js"`).stderr, /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

test("an application compiles with the package's types, and not with wrong ones", () => {
  copyFileSync(join(here, "support/application.mts"), source);
  const tsc = join(here, "../node_modules/typescript/bin/tsc");
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--typeRoots", join(here, "../node_modules/@types")];
  const { status, stdout } = run(tsc, ...options, source);
  assert.equal(status, 0, stdout);
});
