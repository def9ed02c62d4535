"""Drives the real python-socketio client against a server and prints what happens, one JSON object a line.

    python python_socketio.py URL TRANSPORTS      TRANSPORTS: polling | websocket | polling,websocket

Checks acknowledgements and errors, then follows price:ETH and new-block until standard input ends; comes back by
itself when the connection breaks and resumes where it was. Every line has `step`; an event of the server is
{"step": EVENT, "data": ...}. Ends with 0 when all went as it should, with 1 and {"step": "failed"} when not.
"""

import asyncio
import json
import sys

import socketio

NAMESPACE = "/realtime"
CHANNELS = ["price:ETH", "new-block"]
PATIENCE = 110

url, transports = sys.argv[1], sys.argv[2].split(",")


def say(step, **fields):
    print(json.dumps({"step": step, **fields}), flush=True)


def check(good, what):
    if not good:
        raise AssertionError(what)


client = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.5, request_timeout=PATIENCE)
positions = {}
errors = []
beats = asyncio.Queue()
greeted, pong, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
epoch = None


async def ask(event, data=None):
    """Emits an event and waits for its acknowledgement."""
    return await client.call(event, data, namespace=NAMESPACE, timeout=PATIENCE)


@client.on("*", namespace=NAMESPACE)
def anything(event, data):
    if data.get("seq"):
        positions[data["channel"]] = data["seq"]
    say(event, data=data)
    if event == "error":
        errors.append(data)
        told.set()
    elif event == "pong":
        pong.set()
    elif event == "heartbeat":
        beats.put_nowait(data)


@client.on("connected", namespace=NAMESPACE)
async def connected(data):
    """Comes with every connection; all but the first resume."""
    global epoch
    say("connected", data=data)
    if epoch is None:
        epoch = data["epoch"]
        greeted.set()
    else:
        await follow()


async def follow():
    request = {"channels": CHANNELS, "mode": "all", "epoch": epoch}
    if positions:
        request["since"] = dict(positions)
    try:
        answer = await ask("subscribe", request)
    except socketio.exceptions.SocketIOError as error:
        # The connection went meanwhile; it will be asked again on the next one.
        return say("unanswered", message=repr(error))
    say("subscribed", data=answer, transport=client.transport())


def check_chains(chains):
    """Every chain of a heartbeat has its id, its head, two ages and a status."""
    check(isinstance(chains, list) and chains, f"chains: {chains}")
    for chain in chains:
        check(set(chain) == {"chainId", "head", "headAgeMs", "nodeAgeMs", "status"}, f"a chain: {chain}")
        check(type(chain["chainId"]) is int and chain["status"] in ("ok", "lagging", "down"), f"a chain: {chain}")
        check(all(chain[key] is None or type(chain[key]) is int for key in ("head", "headAgeMs", "nodeAgeMs")), f"a chain: {chain}")


async def follow_chains():
    """Takes heartbeats until every chain is ok, with a head and both ages."""
    async with asyncio.timeout(PATIENCE):
        while True:
            chains = (await beats.get())["chains"]
            # Null: the database could not be read in time for this one.
            if chains is None:
                continue
            check_chains(chains)
            if all(chain["status"] == "ok" and None not in chain.values() for chain in chains):
                return say("chains", data=chains)


async def acquaint():
    """Every way of asking, and of being refused."""
    check((await ask("ping"))["timestamp"] > 0, "ping was not acknowledged")
    await asyncio.wait_for(pong.wait(), PATIENCE)
    refused = await ask("subscribe", {"channel": "nope"})
    check(refused["success"] is False and refused["error"]["code"] == "UNKNOWN_CHANNEL", f"unknown channel: {refused}")
    binary = await ask("subscribe", {"channel": b"price:ETH"})
    check(binary["success"] is False and binary["error"]["code"] == "BAD_REQUEST", f"binary data: {binary}")
    await client.emit("dance", {}, namespace=NAMESPACE)
    await asyncio.wait_for(told.wait(), PATIENCE)
    check(errors[0]["code"] == "UNKNOWN_EVENT", f"an unknown event: {errors}")
    joined = await ask("subscribe", "heartbeat")
    check(joined["success"] is True and joined["channel"] == "heartbeat", f"a bare name: {joined}")
    await follow_chains()
    left = await ask("unsubscribe", {"channel": "heartbeat"})
    check(left["success"] is True, f"unsubscribe: {left}")
    check((await ask("subscriptions"))["channels"] == [], "nothing is subscribed")
    say("acquainted")


async def refused_namespace():
    stranger = socketio.AsyncClient(reconnection=False)
    try:
        await stranger.connect(url, namespaces=["/other"], transports=transports, wait_timeout=PATIENCE)
    except socketio.exceptions.ConnectionError as error:
        check("Invalid namespace" in str(error) or "/other" in str(error), f"another namespace: {error}")
    else:
        raise AssertionError("another namespace was let in")
    finally:
        await stranger.disconnect()


async def run():
    await refused_namespace()
    await client.connect(
        url,
        auth={"autoSubscribe": False},
        namespaces=[NAMESPACE],
        transports=transports,
        wait_timeout=PATIENCE,
    )
    await asyncio.wait_for(greeted.wait(), PATIENCE)
    await acquaint()
    await follow()
    await asyncio.to_thread(sys.stdin.read)
    say("transport", data=client.transport())
    await client.disconnect()


try:
    asyncio.run(run())
except Exception as error:
    say("failed", message=repr(error))
    sys.exit(1)
say("done")
