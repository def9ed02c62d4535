// The client in Chromium, as the server serves it: a page of another origin imports /client.js.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { launch } from "../../../tests/browser/chromium.mjs";
import { Proxy } from "./support/proxy.mjs";
import { World, until } from "./support/world.mjs";

const DEADLINE_MS = 60_000;
let world, proxy, site, browser;

before(async () => {
  world = await World.start();
  proxy = await Proxy.start(Number(new URL(world.url).port));
  const page = `<!doctype html><title>a page without tools</title><script type="module">
    import { createClient, lossless, msgpack } from "${world.url}/client.js";
    const options = location.hash === "#msgpack" ? { lossless, msgpack } : { lossless };
    window.client = createClient("${proxy.url}", options);
    window.blocks = [];
    window.prices = [];
    client.subscribe("new-block", (update) => blocks.push(update));
    client.subscribe("price:ETH", (update) => prices.push(update));
  </script>`;
  site = createServer((_, response) => response.setHeader("content-type", "text/html").end(page));
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  browser = await launch();
});
after(async () => {
  await browser?.close();
  site?.close();
  await proxy?.stop();
  await world?.stop();
});

/** A tab with the page, connected. */
async function tab(hash = "") {
  const page = await (tab.context ??= await browser.newContext()).newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.goto(`http://127.0.0.1:${site.address().port}/${hash}`);
  await page.waitForFunction(() => window.blocks?.length > 0 && window.prices.length > 0);
  return page;
}

/** Waits until the page has the newest block, and checks that it has each one once. */
async function isWhole(page) {
  const newest = await world.newest("new-block");
  await page.waitForFunction((seq) => window.blocks.at(-1).seq >= seq, newest);
  const seqs = await page.evaluate(() => window.blocks.map(({ seq }) => seq));
  assert.deepEqual(seqs, seqs.map((_, index) => seqs[0] + index));
}

for (const hash of ["", "#msgpack"]) {
  test(`a page of another origin gets whole prices ${hash}`, async () => {
    const page = await tab(hash);
    const [{ price, priceText }] = await page.evaluate(() => window.prices.map(({ data }) => data));
    assert.equal(Number(priceText), price);
    await page.close();
  });
}

test("two tabs recover from a cut, each on its own", async () => {
  const tabs = [await tab(), await tab()];
  proxy.reset();
  await world.mine(3);
  for (const page of tabs) await isWhole(page);
  for (const page of tabs) await page.close();
});

test("a tab in the background keeps up, and resumes what it missed when it is in front", async () => {
  const page = await tab();
  const front = await tab.context.newPage();
  await front.bringToFront();
  await world.mine(3);
  await isWhole(page);
  // A frozen page runs nothing; its connection dies meanwhile.
  const session = await tab.context.newCDPSession(page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  proxy.reset();
  await world.mine(3);
  await session.send("Page.setWebLifecycleState", { state: "active" });
  await page.bringToFront();
  await isWhole(page);
  await front.close();
  await page.close();
});

test("a page that was offline reconnects at once", async () => {
  const page = await tab();
  proxy.mode = "refusing";
  proxy.reset();
  await page.waitForFunction(() => window.client.state.phase === "reconnecting");
  await until(async () => (await page.evaluate(() => window.client.state.retryInMs)) > 2000, "a long delay");
  proxy.mode = "ok";
  const asked = Date.now();
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await page.waitForFunction(() => window.client.state.phase === "live");
  assert.ok(Date.now() - asked < 60_000);
  await isWhole(page);
  await page.close();
});
