"""Runs the real python-socketio client against a server and prints its events, one JSON object a line.

    python python_socketio.py URL TRANSPORTS      TRANSPORTS: polling | websocket | polling,websocket

Checks acknowledgements and errors, then follows price:ETH and new-block until standard input ends; reconnects by
itself when the connection breaks and resumes at its position. Every line has `step`; an event of the server is
{"step": EVENT, "data": ...}. Exit code 0 on success; 1, with {"step": "failed"}, otherwise.
"""

import asyncio
import sys

import socketio
from checks import CHANNELS, TIMEOUT, check, follow_chains, report

NAMESPACE = "/realtime"

url, transports = sys.argv[1], sys.argv[2].split(",")


client = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.5, request_timeout=TIMEOUT)
positions = {}
errors = []
heartbeats = asyncio.Queue()
greeted, pong, error_received = asyncio.Event(), asyncio.Event(), asyncio.Event()
epoch = None


async def request_ack(event, data=None):
    """Emits an event and waits for its acknowledgement."""
    return await client.call(event, data, namespace=NAMESPACE, timeout=TIMEOUT)


@client.on("*", namespace=NAMESPACE)
def on_event(event, data):
    if data.get("seq"):
        positions[data["channel"]] = data["seq"]
    report(event, data=data)
    if event == "error":
        errors.append(data)
        error_received.set()
    elif event == "pong":
        pong.set()
    elif event == "heartbeat":
        heartbeats.put_nowait(data)


@client.on("connected", namespace=NAMESPACE)
async def connected(data):
    """Sent on every connection; all but the first resume."""
    global epoch
    report("connected", data=data)
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
        answer = await request_ack("subscribe", request)
    except socketio.exceptions.SocketIOError as error:
        # The connection was lost meanwhile; the next one requests it again.
        return report("unanswered", message=repr(error))
    report("subscribed", data=answer, transport=client.transport())


async def received_heartbeats():
    while True:
        yield await heartbeats.get()


async def check_requests():
    """Every kind of request and rejection."""
    check((await request_ack("ping"))["timestamp"] > 0, "ping was not acknowledged")
    await asyncio.wait_for(pong.wait(), TIMEOUT)
    refused = await request_ack("subscribe", {"channel": "nope"})
    check(refused["success"] is False and refused["error"]["code"] == "UNKNOWN_CHANNEL", f"unknown channel: {refused}")
    binary = await request_ack("subscribe", {"channel": b"price:ETH"})
    check(binary["success"] is False and binary["error"]["code"] == "BAD_REQUEST", f"binary data: {binary}")
    await client.emit("dance", {}, namespace=NAMESPACE)
    await asyncio.wait_for(error_received.wait(), TIMEOUT)
    check(errors[0]["code"] == "UNKNOWN_EVENT", f"an unknown event: {errors}")
    joined = await request_ack("subscribe", "heartbeat")
    check(joined["success"] is True and joined["channel"] == "heartbeat", f"a bare name: {joined}")
    await asyncio.wait_for(follow_chains(received_heartbeats()), TIMEOUT)
    left = await request_ack("unsubscribe", {"channel": "heartbeat"})
    check(left["success"] is True, f"unsubscribe: {left}")
    check((await request_ack("subscriptions"))["channels"] == [], "nothing is subscribed")
    report("checked")


async def refused_namespace():
    other = socketio.AsyncClient(reconnection=False)
    try:
        await other.connect(url, namespaces=["/other"], transports=transports, wait_timeout=TIMEOUT)
    except socketio.exceptions.ConnectionError as error:
        check("Invalid namespace" in str(error) or "/other" in str(error), f"another namespace: {error}")
    else:
        raise AssertionError("another namespace was accepted")
    finally:
        await other.disconnect()


async def run():
    await refused_namespace()
    await client.connect(
        url,
        auth={"autoSubscribe": False},
        namespaces=[NAMESPACE],
        transports=transports,
        wait_timeout=TIMEOUT,
    )
    await asyncio.wait_for(greeted.wait(), TIMEOUT)
    await check_requests()
    await follow()
    await asyncio.to_thread(sys.stdin.read)
    report("transport", data=client.transport())
    await client.disconnect()


try:
    asyncio.run(run())
except Exception as error:
    report("failed", message=repr(error))
    sys.exit(1)
report("done")
