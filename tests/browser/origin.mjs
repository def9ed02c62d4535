// Opens the live page of a server whose gateway.allowed_origins lists only another origin.
//
//   node tests/browser/origin.mjs URL            the page connects, and so does the served Socket.IO client in it
//   node tests/browser/origin.mjs URL --refused  the page names the rejected origin and the key
//   node tests/browser/origin.mjs URL --token T  the page requires a token, and connects with this one
//
// Exit code 0 on success, 1 otherwise.

import { launch } from './chromium.mjs';

const [url, what, token] = process.argv.slice(2);
const DEADLINE_MS = 110_000;

const browser = await launch();
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.goto(url);
  if (what === '--token') {
    await page.waitForSelector('#connection[data-phase="refused"]');
    const story = await page.textContent('#story');
    if (!/JWT is required.*"Use a JWT"/i.test(story)) throw new Error(`the page does not require a JWT: ${story}`);
    await page.click('details.token summary');
    const use = async (given) => {
      await page.fill('#console-token', given);
      await page.press('#console-token', 'Enter');
    };
    await use('nonsense');
    await page.waitForFunction(() => /not a JWT/.test(document.getElementById('story').textContent));
    await page.waitForSelector('#connection[data-phase="refused"]');
    await use(token);
    await page.waitForSelector('#connection[data-phase="live"]');
    // The page's own channels, on its own connection.
    await page.waitForSelector('#streams [data-stream="new-block"]');
  } else if (what === '--refused') {
    await page.waitForSelector('#connection[data-phase="refused"]');
    const story = await page.textContent('#story');
    for (const part of [new URL(url).origin, 'gateway.allowed_origins']) {
      if (!story.includes(part)) throw new Error(`the page does not name ${part}: ${story}`);
    }
  } else {
    await page.waitForSelector('#connection[data-phase="live"]');
    await page.addScriptTag({ url: '/socket.io/socket.io.js' });
    const epoch = await page.evaluate(() => new Promise((resolve, reject) => {
      const socket = window.io('/realtime');
      socket.on('connected', ({ epoch }) => resolve(epoch));
      socket.on('connect_error', reject);
    }));
    if (!epoch) throw new Error('the Socket.IO client was not greeted');
  }
  console.log('passed');
} catch (error) {
  process.exitCode = 1;
  console.error(`failed: ${error.message}`);
} finally {
  await browser.close();
}
