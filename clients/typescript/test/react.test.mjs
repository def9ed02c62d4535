// The hooks in React 18 and 19, with a document of jsdom and the real server. Each version has its own bundle and process.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { installed } from "./packed.mjs";
import { World } from "./support/world.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const world = await World.start();
// In the package, where Node finds jsdom and ws.
const out = mkdtempSync(join(here, "packed-react-"));
after(async () => {
  rmSync(out, { recursive: true, force: true });
  await world.stop();
});

for (const [version, alias] of [
  [18, { react: "react18", "react-dom": "react-dom18" }],
  [19, {}],
]) {
  test(`hooks in React ${version}`, async () => {
    const outfile = join(out, `react${version}.mjs`);
    await build({
      absWorkingDir: join(here, ".."), // where aliases are looked up
      entryPoints: [join(here, "support/hooks.mjs")],
      alias: { ...alias, "chaincast/react": `${installed}/dist/react/index.js`, chaincast: `${installed}/dist/index.js` },
      external: ["jsdom", "ws"],
      define: { "process.env.NODE_ENV": '"development"' },
      bundle: true,
      platform: "node",
      format: "esm",
      // React is CommonJS.
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
      outfile,
    });
    const env = { ...process.env, CHAINCAST_URL: world.url, CHAINCAST_NODE: world.node, NODE_TEST_CONTEXT: undefined };
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--test", outfile], { env, encoding: "utf8" });
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, new RegExp(`React ${version}[.]`));
  });
}
