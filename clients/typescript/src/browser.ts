// Everything but React as one file, which the server serves as /client.js.

export * from "./index.js";
export { msgpack } from "./msgpack.js";
