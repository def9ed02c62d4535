// A TCP proxy that breaks the network: cuts in the middle of a frame, silence, a slow line, refused connections.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Proxy {
  /** `ok`, `silent` (open, but nothing passes), `slow` (a few bytes at a time) or `refusing`. */
  mode = "ok";
  #pairs = new Set();
  /** Bytes from the server that still pass; then the connections are reset. */
  #left = Infinity;

  static async start(port) {
    const proxy = new Proxy();
    proxy.port = port;
    proxy.server = createServer((client) => proxy.#accept(client));
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  get connections() {
    return this.#pairs.size;
  }

  #accept(client) {
    if (this.mode === "refusing") return client.resetAndDestroy();
    const server = connect(this.port, "127.0.0.1");
    const pair = { client, server };
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      // A silent line does not even say that the other side is gone.
      if (this.mode !== "silent") for (const socket of [client, server]) socket.destroy();
    };
    for (const socket of [client, server]) socket.on("error", () => {}).on("close", end);
    client.on("data", (data) => this.#pass(data, client, server, false));
    server.on("data", (data) => this.#pass(data, server, client, true));
  }

  async #pass(data, from, to, isAnswer) {
    if (this.mode === "silent") return;
    if (isAnswer && (this.#left -= data.length) <= 0) {
      to.write(data.subarray(0, data.length + this.#left));
      this.#left = Infinity;
      to.destroySoon();
      from.destroy();
      return;
    }
    if (this.mode !== "slow") return void to.write(data);
    from.pause();
    for (let at = 0; at < data.length && !to.destroyed; at += 64) {
      to.write(data.subarray(at, at + 64));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    from.resume();
  }

  /** Ends the connection that passes this byte, counted from now. */
  cutAfter(bytes) {
    this.#left = bytes;
  }

  /** Resets every connection. */
  reset() {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
    this.#pairs.clear();
  }

  async stop() {
    this.reset();
    this.server.close();
    await once(this.server, "close");
  }
}
