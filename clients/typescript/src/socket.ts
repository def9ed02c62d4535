// One connection, and what is known of its end.

import type { Codec } from "./codec.js";
import type { Closed } from "./core/types.js";
import { refusal } from "./error.js";

/** Browsers do not show why a handshake was refused; the same address answers it to OPTIONS. */
async function whyRefused(url: string): Promise<Partial<Closed>> {
  try {
    const response = await fetch(url.replace("ws", "http"), { method: "OPTIONS", signal: AbortSignal.timeout(5_000) });
    if (response.ok) return {};
    const { status, message, retryAfterMs } = await refusal(response);
    return { status, reason: message, retryAfterMs };
  } catch {
    return {};
  }
}

export interface Socket {
  /** Does nothing without an open connection: what was sent then is sent again. */
  send(data: string | Uint8Array<ArrayBuffer>): void;
  /** Nothing of it is handed over any more. */
  drop(): void;
}

export function openSocket(url: string, make: typeof WebSocket, codec: Codec, onData: (data: any) => void, onClosed: (closed: Closed) => void): Socket {
  const socket = new make(url, codec.protocol);
  let isOpen = false;
  let isDropped = false;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => (isOpen = true);
  socket.onmessage = ({ data }) => isDropped || onData(data);
  socket.onerror = () => {}; // `close` follows
  socket.onclose = async ({ code, reason }) => {
    const more = isOpen || isDropped ? {} : await whyRefused(url);
    if (!isDropped) onClosed({ code, reason, ...more });
  };
  return {
    send: (data) => socket.readyState === 1 && socket.send(data),
    drop() {
      isDropped = true;
      socket.close();
    },
  };
}
