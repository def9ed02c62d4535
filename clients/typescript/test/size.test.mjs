// The size that the README states, and what an application does not import is not in its bundle.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { installed } from "./packed.mjs";

const CORE_LIMIT = 6 * 1024;

/** An application's bundle with this code. */
async function bundle(contents) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: new URL("..", import.meta.url).pathname },
    alias: { chaincast: `${installed}/dist/index.js`, "chaincast/msgpack": `${installed}/dist/msgpack.js`, "chaincast/react": `${installed}/dist/react/index.js` },
    external: ["react"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    metafile: true,
    write: false,
  });
  const [{ inputs }] = Object.values(metafile.outputs);
  const files = Object.keys(inputs).filter((name) => inputs[name].bytesInOutput > 0);
  return { code: outputFiles[0].contents, files };
}

test("createClient alone has at most 6 KB gzipped, without React, MessagePack and lossless prices", async () => {
  const { code, files } = await bundle(`export { createClient } from "chaincast"`);
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size <= CORE_LIMIT, `it has ${size} bytes`);
  for (const name of ["react/", "msgpack.js", "lossless.js"]) assert.ok(!files.some((file) => file.includes(name)), `${name} is in it`);
});

test("a hook brings the client's types but not createClient", async () => {
  const { files } = await bundle(`export { usePrice } from "chaincast/react"`);
  assert.ok(!files.some((file) => /client\.js|blocks\.js|candles\.js/.test(file)), files.join(" "));
});
