// The commands of benches/realtime/commands.rs on standard input; `publish(channel, data)` sends one update.

import { createInterface } from 'node:readline';

export const channelName = (channel) => `price:T${String(channel).padStart(5, '0')}`;

/** Prints that the server is ready on `port`, and runs commands until standard input is closed. */
export function runCommands(port, publish) {
  let channels = 1;
  let number = 0;
  const seqs = new Map();
  const publishNext = (count) => {
    for (let left = count; left > 0; left -= 1) {
      const channel = number % channels;
      number += 1;
      const seq = (seqs.get(channel) ?? 0) + 1;
      seqs.set(channel, seq);
      const name = channelName(channel);
      publish(name, {
        token: name.slice('price:'.length),
        price: 3456.120000000001,
        timestamp: 1790000000000,
        quote: 'USD',
        confidence: 0.42,
        sources: ['chainlink', 'uniswap-v2'],
        ageMs: 120,
        status: 'ok',
        channel: name,
        seq,
      });
    }
  };
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const [command, first, second] = line.split(' ');
    if (command === 'pattern') {
      channels = Number(first);
      number = 0;
    } else if (command === 'burst') {
      publishNext(Number(first));
    } else if (command === 'rate') {
      publishEvenly(Number(first), Number(second), publishNext);
    }
  });
  lines.on('close', () => process.exit(0));
  console.log(`ready ${port}`);
}

/** Publishes the due updates on each timer tick; finally prints when each update was published. */
function publishEvenly(hz, count, publishNext) {
  const instants = [];
  const start = process.hrtime.bigint();
  const timer = setInterval(() => {
    const now = process.hrtime.bigint();
    const passed = Math.floor((Number(now - start) * hz) / 1e9) + 1;
    const due = Math.min(count, passed) - instants.length;
    if (due > 0) {
      for (let left = due; left > 0; left -= 1) instants.push(now);
      publishNext(due);
    }
    if (instants.length === count) {
      clearInterval(timer);
      console.log(`at ${instants.join(' ')}`);
    }
  }, 1);
}

export const options = { transports: ['websocket'], perMessageDeflate: false, pingInterval: 10_000, pingTimeout: 5_000 };
