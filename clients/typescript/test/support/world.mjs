// A real server for a test: `chaincast dev` with its database, chain and indexer, and gateways that can be restarted.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const binary = process.env.CHAINCAST_BIN ?? join(root, "target/debug/chaincast");
const READY = /chaincast is ready on (\S+)/;
const START_MS = 120_000;

/** A chaincast as a child process. */
class Process {
  static async start(args, env = {}) {
    if (!existsSync(binary)) throw new Error(`${binary} does not exist: build it with \`cargo build\`, or set CHAINCAST_BIN`);
    const started = new Process();
    const path = `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`;
    started.child = spawn(binary, args, { env: { ...process.env, PATH: path, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    started.output = [];
    started.exited = once(started.child, "exit");
    const collect = (stream, onLine) => createInterface({ input: stream }).on("line", (line) => (started.output.push(line), onLine(line)));
    collect(started.child.stderr, () => {});
    let timer;
    started.url = await new Promise((resolve, reject) => {
      const fail = (what) => reject(new Error(`${args[0]} ${what}:\n${started.output.slice(-20).join("\n")}`));
      timer = setTimeout(() => fail("did not become ready"), START_MS);
      started.child.on("exit", () => fail("ended"));
      collect(started.child.stdout, (line) => READY.test(line) && resolve(READY.exec(line)[1]));
    }).finally(() => clearTimeout(timer));
    return started;
  }

  async end(signal = "SIGTERM") {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    await this.exited;
  }
}

export class World {
  static async start() {
    const world = new World();
    world.dir = mkdtempSync(join(tmpdir(), "chaincast-ts-"));
    const data = join(world.dir, "data");
    world.dev = await Process.start(["dev", "--port", "0", "--anvil-port", "0", "--block-time", "1", "--seed", "7", "--data-dir", data]);
    world.url = world.dev.url;
    world.config = join(data, "chaincast.toml");
    const settings = readFileSync(world.config, "utf8");
    world.node = /rpc_url = "(.*)"/.exec(settings)[1];
    world.secret = /secret = "(.*)"/.exec(settings)[1];
    return world;
  }

  /** A gateway of its own process, on a port that it keeps when it is restarted. */
  async startGateway(port = 0, env = {}) {
    return Process.start(["serve", "--config", this.config, "--role", "gateway", "--port", `${port}`], env);
  }

  /** A JWT that expires in this many seconds. */
  token(sub, seconds, claims = {}) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const now = Math.floor(Date.now() / 1000);
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, iat: now, exp: now + seconds, ...claims })}`;
    return `${text}.${createHmac("sha256", this.secret).update(text).digest("base64url")}`;
  }

  async get(path) {
    const response = await fetch(`${this.url}/api/v1${path}`);
    if (!response.ok) throw new Error(`GET ${path}: status ${response.status}`);
    return response.json();
  }

  /** Every stored update of a channel. */
  async stored(channel) {
    const all = [];
    for (let cursor = ""; cursor !== null; ) {
      const page = await this.get(`/channels/${channel}/updates?limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      all.push(...page.data);
      cursor = page.next;
    }
    return all;
  }

  async newest(channel) {
    return (await this.get(`/channels/${channel}/updates?limit=1`)).seq;
  }

  /** Mines blocks and waits until the channel has as many more updates. */
  async mine(count = 1) {
    const before = await this.newest("new-block");
    for (let block = 0; block < count; block += 1) await this.rpc("evm_mine");
    await until(async () => (await this.newest("new-block")) >= before + count, `${count} blocks`);
  }

  async rpc(method, params = []) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const response = await fetch(this.node, { method: "POST", headers: { "content-type": "application/json" }, body });
    return (await response.json()).result;
  }

  async stop() {
    await this.dev.end();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Waits until a condition holds; fails with its name after a minute. */
export async function until(condition, what, ms = 60_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`timed out waiting for ${typeof what === "function" ? what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
