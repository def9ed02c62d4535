"""Speaks the native protocol with Python's websockets and prints what happens, one JSON object a line.

    python python_websockets.py URL          URL: ws://HOST:PORT/realtime

Checks answers and errors, then follows price:ETH and new-block until standard input ends; comes back when the
connection breaks and resumes where it was. Every line has `step`; an event of the server is
{"step": EVENT, "data": {"channel", "seq", ...}}. Ends with 0 when all went as it should, with 1 when not.
"""

import asyncio
import json
import os
import sys

# How soon a broken connection is tried again; the library takes seconds.
os.environ.setdefault("WEBSOCKETS_BACKOFF_INITIAL_DELAY", "0.1")
os.environ.setdefault("WEBSOCKETS_BACKOFF_MIN_DELAY", "0.1")

from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

CHANNELS = ["price:ETH", "new-block"]
PATIENCE = 110
# The library gives up a handshake or a pong after seconds, which a busy machine may take.
PATIENT = {"open_timeout": PATIENCE, "ping_timeout": PATIENCE}

url = sys.argv[1]


def say(step, **fields):
    print(json.dumps({"step": step, **fields}), flush=True)


def check(good, what):
    if not good:
        raise AssertionError(what)


async def answer(socket, request):
    """Makes a request and returns what has its id; what comes before is not awaited by anybody yet."""
    await socket.send(json.dumps(request))
    async with asyncio.timeout(PATIENCE):
        while True:
            message = json.loads(await socket.recv())
            if message.get("id") == request.get("id"):
                return message


def check_chains(chains):
    """Every chain of a heartbeat has its id, its head, two ages and a status."""
    check(isinstance(chains, list) and chains, f"chains: {chains}")
    for chain in chains:
        check(set(chain) == {"chainId", "head", "headAgeMs", "nodeAgeMs", "status"}, f"a chain: {chain}")
        check(type(chain["chainId"]) is int and chain["status"] in ("ok", "lagging", "down"), f"a chain: {chain}")
        check(all(chain[key] is None or type(chain[key]) is int for key in ("head", "headAgeMs", "nodeAgeMs")), f"a chain: {chain}")


async def follow_chains(socket):
    """Reads heartbeats until every chain is ok, with a head and both ages."""
    joined = await answer(socket, {"id": 5, "event": "subscribe", "data": {"channel": "heartbeat"}})
    check(joined["event"] == "ack" and joined["data"]["success"] is True, f"heartbeat: {joined}")
    async with asyncio.timeout(PATIENCE):
        while True:
            beat = json.loads(await socket.recv())
            # Null: the database could not be read in time for this one.
            if beat["event"] != "heartbeat" or beat["data"]["chains"] is None:
                continue
            chains = beat["data"]["chains"]
            check_chains(chains)
            if all(chain["status"] == "ok" and None not in chain.values() for chain in chains):
                return say("chains", data=chains)


async def acquaint():
    """Every way of asking, and of being refused, on a connection of its own."""
    async with connect(url, subprotocols=["chaincast.v1.json"], **PATIENT) as socket:
        check(socket.subprotocol == "chaincast.v1.json", f"subprotocol: {socket.subprotocol}")
        greeting = json.loads(await socket.recv())
        check(greeting["event"] == "connected" and greeting["data"]["user"] is None, f"greeting: {greeting}")
        pong = await answer(socket, {"id": 1, "event": "ping"})
        check(pong["event"] == "pong" and pong["data"]["timestamp"] > 0, f"ping: {pong}")
        refused = await answer(socket, {"id": "two", "event": "subscribe", "data": {"channel": "nope"}})
        check(refused["event"] == "error" and refused["data"]["code"] == "UNKNOWN_CHANNEL", f"refused: {refused}")
        unknown = await answer(socket, {"id": 3, "event": "dance"})
        check(unknown["data"]["code"] == "UNKNOWN_EVENT", f"unknown event: {unknown}")
        await socket.send("nonsense")
        bad = json.loads(await socket.recv())
        check(bad["event"] == "error" and bad["data"]["code"] == "BAD_REQUEST", f"no message: {bad}")
        # A ping of the transport's own, and a message in fragments.
        await asyncio.wait_for(await socket.ping(), PATIENCE)
        await socket.send(['{"id":4,"event":', '"subscriptions"}'])
        listed = json.loads(await socket.recv())
        check(listed["id"] == 4 and listed["data"]["channels"] == [], f"subscriptions: {listed}")
        await follow_chains(socket)
    check(socket.close_code == 1000, f"closed with {socket.close_code}")
    say("acquainted")


async def follow(until):
    positions, epoch = {}, None
    async for socket in connect(url, **PATIENT):
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
                    say("connected", data=data)
                    await socket.send(json.dumps({"id": 1, "event": "subscribe", "data": request}))
                elif event == "ack":
                    say("subscribed", data=data)
                else:
                    if "seq" in message:
                        positions[message["channel"]] = message["seq"]
                    position = {key: message[key] for key in ("channel", "seq", "snapshot") if key in message}
                    say(event, data=data | position)
        except ConnectionClosed:
            pass
        if until.done():
            return
        say("disconnected", code=socket.close_code, reason=socket.close_reason)


async def close_at(until, socket):
    await asyncio.wait({until})
    await socket.close()


async def run():
    await acquaint()
    await follow(asyncio.create_task(asyncio.to_thread(sys.stdin.read)))


try:
    asyncio.run(run())
except Exception as error:
    say("failed", message=repr(error))
    sys.exit(1)
say("done")
