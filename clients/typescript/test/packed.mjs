// The package as it is published: `npm pack` makes it, scripts/test installs it into test/packed.

import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";

export const installed = process.env.CHAINCAST_PACKAGE ?? fileURLToPath(new URL("packed/node_modules/chaincast", import.meta.url));

/** The URL of a file of the package that it does not export. */
export function dist(name) {
  return pathToFileURL(join(installed, "dist", name)).href;
}
