// The Chromium that the tests drive: $CHROMIUM, or Debian's.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

export function launch() {
  return chromium.launch({
    timeout: 110_000,
    executablePath: executable(),
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage', '--no-first-run'],
  });
}

function executable() {
  const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].filter(Boolean);
  const found = places.find((place) => existsSync(place));
  if (found) return found;
  console.error(`no Chromium at ${places.join(' or ')}: install the package "chromium" or set CHROMIUM`);
  process.exit(1);
}
