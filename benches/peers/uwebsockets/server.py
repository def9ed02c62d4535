"""uWebSockets, through socketify: a session subscribes to topics, updates are sent by its native publish.

Runs the commands of benches/realtime/commands.rs on standard input. socketify's run() busy-waits between asyncio and
libuv; here only libuv runs, so that waiting costs no CPU time. Standard input is one of its polls.
"""

import json
import os
import sys
import time

import cffi
from socketify import App, OpCode

UV_POLL, UV_READABLE = 8, 1

uv = cffi.FFI()
uv.cdef(
    """
    size_t uv_handle_size(int type);
    int uv_poll_init(void *loop, void *handle, int fd);
    int uv_poll_start(void *handle, int events, void (*callback)(void *, int, int));
    """
)
libuv = uv.dlopen("libuv.so.1")

app = App()
seqs = {}
state = {"channels": 1, "number": 0, "rate": None}


def publish(count):
    for _ in range(count):
        channel = state["number"] % state["channels"]
        state["number"] += 1
        seqs[channel] = seq = seqs.get(channel, 0) + 1
        token = f"T{channel:05}"
        data = {
            "token": token,
            "price": 3456.120000000001,
            "timestamp": 1790000000000,
            "quote": "USD",
            "confidence": 0.42,
            "sources": ["chainlink", "uniswap-v2"],
            "ageMs": 120,
            "status": "ok",
        }
        name = f"price:{token}"
        message = {"event": "price-update", "channel": name, "seq": seq, "data": data}
        app.publish(name, json.dumps(message, separators=(",", ":")), OpCode.TEXT)


class Rate:
    """Publishes the due updates on each timer tick."""

    def __init__(self, hz, count):
        self.hz, self.count, self.instants = hz, count, []
        self.start = time.monotonic_ns()
        self.timer = app.loop.uv_loop.create_timer(0, 1, Rate.tick, self)

    def tick(self):
        now = time.monotonic_ns()
        passed = (now - self.start) * self.hz // 1_000_000_000 + 1
        due = min(self.count, passed) - len(self.instants)
        if due > 0:
            self.instants += [now] * due
            publish(due)
        if len(self.instants) == self.count:
            self.timer.stop()
            print("at", *self.instants, flush=True)


def run_command(line):
    words = line.split()
    if words[0] == "pattern":
        state["channels"], state["number"] = int(words[1]), 0
    elif words[0] == "burst":
        publish(int(words[1]))
    elif words[0] == "rate":
        state["rate"] = Rate(int(words[1]), int(words[2]))


pending = b""


@uv.callback("void(void *, int, int)")
def readable(_handle, _status, _events):
    global pending
    chunk = os.read(0, 65_536)
    if not chunk:
        os._exit(0)
    *lines, pending = (pending + chunk).split(b"\n")
    for line in lines:
        run_command(line.decode())


def on_message(ws, message, _opcode):
    request = json.loads(message)
    for name in request["data"]["channels"]:
        ws.subscribe(name)
    channels = [{"channel": name, "success": True} for name in request["data"]["channels"]]
    answer = {"event": "ack", "id": request["id"], "data": {"success": True, "channels": channels}}
    ws.send(json.dumps(answer, separators=(",", ":")), OpCode.TEXT)


app.ws(
    "/realtime",
    {
        "compression": 0,
        "max_payload_length": 65_536,
        # As the product: a backlog of 1 MiB, pings by the server.
        "max_backpressure": 1_048_576,
        "idle_timeout": 16,
        "send_pings_automatically": True,
        "message": on_message,
    },
)
app.listen({"host": "127.0.0.1", "port": 0}, lambda config: print("ready", config.port, flush=True))

handle = uv.new("char[]", libuv.uv_handle_size(UV_POLL))
loop = uv.cast("void *", int(cffi.FFI().cast("intptr_t", app.loop.get_native_loop())))
os.set_blocking(0, False)
libuv.uv_poll_init(loop, handle, 0)
libuv.uv_poll_start(handle, UV_READABLE, readable)
app.loop.uv_loop.run()
