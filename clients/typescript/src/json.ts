// Messages as JSON text.

import type { Codec } from "./codec.js";

export const json: Codec = {
  protocol: "chaincast.v1.json",
  encode: (message) => JSON.stringify(message),
  decode: (data, lossless) => JSON.parse(lossless ? lossless(data as string) : (data as string)),
};
