// Starts the Chromium for the tests: $CHROMIUM, or Debian's.

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
  const paths = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].filter(Boolean);
  const found = paths.find((path) => existsSync(path));
  if (found) return found;
  console.error(`no Chromium at ${paths.join(' or ')}: install the package "chromium" or set CHROMIUM`);
  process.exit(1);
}
