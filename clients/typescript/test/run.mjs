// Builds and packs the package, unpacks it as npm installs it, and tests that.
//
//   node test/run.mjs [FILE…]    all tests, or these
//
// The server is $CHAINCAST_BIN, else target/debug/chaincast.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const test = join(root, "test");
const packed = join(test, "packed");
const installed = join(packed, "node_modules/chaincast");

execFileSync(process.execPath, [join(root, "scripts/build.mjs"), "--check"], { stdio: "inherit" });
rmSync(packed, { recursive: true, force: true });
mkdirSync(installed, { recursive: true });
execFileSync("npm", ["pack", "--silent", "--pack-destination", packed], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
const [archive] = readdirSync(packed).filter((name) => name.endsWith(".tgz"));
execFileSync("tar", ["-xzf", join(packed, archive), "-C", installed, "--strip-components=1"]);

const given = process.argv.slice(2);
const files = given.length ? given : readdirSync(test).filter((name) => name.endsWith(".test.mjs")).map((name) => join(test, name));
const { status } = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" });
process.exit(status ?? 1);
