// The core against the shared test vectors; crates/protocol/vectors/README.md describes them.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { dist } from "./packed.mjs";

const { Core } = await import(dist("core/core.js"));
const FOLDER = new URL("../../../crates/protocol/vectors/client/", import.meta.url);

/** Outputs that the vectors compare by their name alone, and those of which they name only some keys. */
const BY_NAME = new Set(["token", "close"]);
const PARTLY = new Set(["deliver", "refused", "failed"]);

/** A core whose outputs are recorded as the vectors write them. */
class Subject {
  now = 0;
  out = [];
  subscribers = [];

  constructor({ token = false } = {}) {
    const record = (name) => (value) => this.out.push({ [name]: value });
    const outputs = {
      now: () => this.now,
      random: () => 0.5,
      token: () => this.out.push({ token: {} }),
      open: (jwt) => this.out.push({ open: jwt === undefined ? {} : { token: jwt } }),
      close: () => this.out.push({ close: {} }),
      send: record("send"),
      emit: (name, value) => {
        const { event, ...gap } = value;
        if (name === "update") this.out.push({ deliver: value });
        else if (name === "gap") this.out.push({ gap });
        else if (name === "refused") this.out.push({ refused: value });
      },
    };
    this.core = new Core(outputs, token);
  }

  advance(to) {
    while (this.core.due <= to) {
      this.now = Math.max(this.now, this.core.due);
      this.core.tick();
    }
    this.now = to;
  }

  take(input) {
    const [[name, value]] = Object.entries(input);
    const { core } = this;
    if (name === "subscribe") {
      this.subscribers.push(...value);
      core.subscribe(value);
    } else if (name === "unsubscribe") core.unsubscribe(this.subscribers.find(({ channel }) => channel === value.channel));
    else if (name === "request") {
      const { name: label, event, data } = value;
      const answer = (answered) => this.out.push({ answer: { name: label, data: answered } });
      const failed = (failure) => this.out.push({ failed: { name: label, ...failure } });
      core.request({ event, data, answer, failed });
    } else if (name === "token") core.token(value.value, value.error);
    else core[name](value);
  }
}

/** Replaces the placeholders that have a value. */
function filled(value, names) {
  if (typeof value === "string" && names.has(value)) return names.get(value);
  if (Array.isArray(value)) return value.map((each) => filled(each, names));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, filled(each, names)]));
  return value;
}

/** What the vector would say of an output: only what it compares. */
function reduced(actual, expected, names) {
  const [[name, value]] = Object.entries(actual);
  const wanted = expected?.[name];
  if (wanted === undefined) return actual;
  if (BY_NAME.has(name)) return { [name]: {} };
  if (PARTLY.has(name)) return { [name]: Object.fromEntries(Object.keys(wanted).map((key) => [key, value[key]])) };
  if (name === "send" && typeof wanted.id === "string" && wanted.id.startsWith("$")) {
    names.set(wanted.id, value.id);
    return { send: { ...value, id: wanted.id } };
  }
  return actual;
}

for (const file of readdirSync(FOLDER)) {
  for (const { name, options, steps } of JSON.parse(readFileSync(new URL(file, FOLDER), "utf8"))) {
    test(`${file.replace(".json", "")}: ${name}`, () => {
      const subject = new Subject(options);
      const names = new Map();
      steps.forEach((step, index) => {
        subject.out = [];
        subject.advance(step.at ?? subject.now);
        if (step.in) subject.take(filled(step.in, names));
        const plain = JSON.parse(JSON.stringify(subject.out));
        const actual = plain.map((each, at) => reduced(each, step.out[at], names));
        assert.deepEqual(actual, step.out, `step ${index}: ${JSON.stringify(step.in ?? { at: step.at })}`);
      });
    });
  }
}
