"""Uses the native protocol with Python's websockets and prints its events, one JSON object a line.

    python python_websockets.py URL          URL: ws://HOST:PORT/realtime

Checks answers and errors, then follows price:ETH and new-block until standard input ends; reconnects when the
connection breaks and resumes at its position. Every line has `step`; an event of the server is
{"step": EVENT, "data": {"channel", "seq", ...}}. Exit code 0 on success, 1 otherwise.
"""

import asyncio
import json
import os
import sys

# The reconnect delay; the default of the library is seconds.
os.environ.setdefault("WEBSOCKETS_BACKOFF_INITIAL_DELAY", "0.1")
os.environ.setdefault("WEBSOCKETS_BACKOFF_MIN_DELAY", "0.1")

from checks import CHANNELS, TIMEOUT, check, follow_chains, report  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

# The library's default timeouts for a handshake and a pong are too short for a busy machine.
TIMEOUTS = {"open_timeout": TIMEOUT, "ping_timeout": TIMEOUT}

url = sys.argv[1]


async def request_response(socket, request):
    """Sends a request and returns the response with its id; earlier messages are dropped."""
    await socket.send(json.dumps(request))
    async with asyncio.timeout(TIMEOUT):
        while True:
            message = json.loads(await socket.recv())
            if message.get("id") == request.get("id"):
                return message


async def heartbeats(socket):
    """The data of every heartbeat."""
    joined = await request_response(socket, {"id": 5, "event": "subscribe", "data": {"channel": "heartbeat"}})
    check(joined["event"] == "ack" and joined["data"]["success"] is True, f"heartbeat: {joined}")
    while True:
        message = json.loads(await socket.recv())
        if message["event"] == "heartbeat":
            yield message["data"]


async def check_requests():
    """Every kind of request and rejection, on a separate connection."""
    async with connect(url, subprotocols=["chaincast.v1.json"], **TIMEOUTS) as socket:
        check(socket.subprotocol == "chaincast.v1.json", f"subprotocol: {socket.subprotocol}")
        greeting = json.loads(await socket.recv())
        check(greeting["event"] == "connected" and greeting["data"]["user"] is None, f"greeting: {greeting}")
        pong = await request_response(socket, {"id": 1, "event": "ping"})
        check(pong["event"] == "pong" and pong["data"]["timestamp"] > 0, f"ping: {pong}")
        refused = await request_response(socket, {"id": "two", "event": "subscribe", "data": {"channel": "nope"}})
        check(refused["event"] == "error" and refused["data"]["code"] == "UNKNOWN_CHANNEL", f"refused: {refused}")
        unknown = await request_response(socket, {"id": 3, "event": "dance"})
        check(unknown["data"]["code"] == "UNKNOWN_EVENT", f"unknown event: {unknown}")
        await socket.send("nonsense")
        bad = json.loads(await socket.recv())
        check(bad["event"] == "error" and bad["data"]["code"] == "BAD_REQUEST", f"no message: {bad}")
        # A WebSocket ping, and a message in fragments.
        await asyncio.wait_for(await socket.ping(), TIMEOUT)
        await socket.send(['{"id":4,"event":', '"subscriptions"}'])
        listed = json.loads(await socket.recv())
        check(listed["id"] == 4 and listed["data"]["channels"] == [], f"subscriptions: {listed}")
        await asyncio.wait_for(follow_chains(heartbeats(socket)), TIMEOUT)
    check(socket.close_code == 1000, f"closed with {socket.close_code}")
    report("checked")


async def follow(until):
    positions, epoch = {}, None
    async for socket in connect(url, **TIMEOUTS):
        asyncio.create_task(close_at(until, socket))
        try:
            async for text in socket:
                message = json.loads(text)
                event, data = message["event"], message["data"]
                if event == "connected":
                    request = {"channels": CHANNELS, "mode": "all"}
                    if positions:
                        request |= {"since": positions, "epoch": epoch}
                    epoch = data["epoch"]
                    report("connected", data=data)
                    await socket.send(json.dumps({"id": 1, "event": "subscribe", "data": request}))
                elif event == "ack":
                    report("subscribed", data=data)
                else:
                    if "seq" in message:
                        positions[message["channel"]] = message["seq"]
                    position = {key: message[key] for key in ("channel", "seq", "snapshot") if key in message}
                    report(event, data=data | position)
        except ConnectionClosed:
            pass
        if until.done():
            return
        report("disconnected", code=socket.close_code, reason=socket.close_reason)


async def close_at(until, socket):
    await asyncio.wait({until})
    await socket.close()


async def run():
    await check_requests()
    await follow(asyncio.create_task(asyncio.to_thread(sys.stdin.read)))


try:
    asyncio.run(run())
except Exception as error:
    report("failed", message=repr(error))
    sys.exit(1)
report("done")
