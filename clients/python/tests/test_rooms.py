"""Rooms of the real server: messages through lost connections, presence, and messages to a user."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from support.checks import seqs, take, update_of
from support.jwt import mint
from support.proxy import Proxy
from support.servers import Dev, Gateway

from chaincast import Client, Refused, Stream, Update

ROOM = "room:lobby"
MESSAGES = 30


def token_of(dev: Dev, sub: str) -> Callable[[], Awaitable[str]]:
    """A source of JWTs of a subject that may publish everywhere."""

    async def token() -> str:
        return mint(dev.secret, sub, publish=["room:*", "user:*"])

    return token


@pytest.fixture
def presence(dev: Dev) -> None:
    """Skips the test if the server has no presence."""

    async def try_presence() -> None:
        async with Client(dev.url, token=token_of(dev, "probe")) as client:
            await client.presence(ROOM)

    try:
        asyncio.run(try_presence())
    except Refused as refused:
        if refused.code != "FORBIDDEN":
            raise
        pytest.skip(str(refused))


async def test_messages_arrive_once_through_cuts(dev: Dev, gateway: Gateway) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    async with (
        Proxy(gateway.port) as proxy,
        Client(proxy.url, token=token_of(dev, "alice")) as alice,
        Client(dev.url, token=token_of(dev, "bob")) as bob,
    ):
        received = bob.stream(ROOM, snapshot=False)
        await bob.acknowledge([])  # Requests are answered in order: the subscription is active now.
        published = []
        for number in range(MESSAGES):
            publishing = asyncio.create_task(alice.publish(ROOM, "count", number, echo=rng.random() < 0.5))
            for _ in range(rng.randrange(8)):
                await asyncio.sleep(0.001)
            if rng.random() < 0.3:
                proxy.cut()
            published.append(await publishing)
        messages = await take(received, MESSAGES)
        assert [message.data["payload"] for message in messages] == list(range(MESSAGES))
        assert seqs(messages) == published == list(range(published[0], published[0] + MESSAGES))


async def test_members_join_and_leave(dev: Dev, presence: None) -> None:
    async with Client(dev.url, token=token_of(dev, "alice")) as alice:
        events = alice.stream(ROOM, presence=True, snapshot=False)
        members = await alice.presence(ROOM)
        assert "alice" in [member.sub for member in members.members]
        async with Client(dev.url, token=token_of(dev, "bob")) as bob:
            bobs = bob.stream(ROOM, info={"name": "Bob"}, snapshot=False)
            joined = await event_of(events, "member-joined", "bob")
            assert joined.data["member"]["info"] == {"name": "Bob"}
            await bob.signal(ROOM, "typing", {"isTyping": True})
            signal = await event_of(events, "room-signal", None)
            assert (signal.data["from"], signal.seq) == ("bob", None)
            bobs.close()
        await event_of(events, "member-left", "bob")


async def event_of(stream: Stream, event: str, sub: str | None) -> Update:
    """The next event of this kind, about this member."""
    while True:
        update = await update_of(stream)
        if update.event == event and (sub is None or update.data["member"]["sub"] == sub):
            return update


async def test_user_message_is_repeated_until_acknowledged(dev: Dev) -> None:
    async with Client(dev.url, token=token_of(dev, "alice")) as alice:
        await alice.publish("user:carol", "order-shipped", {"order": 1})
    for _ in range(2):
        async with Client(dev.url, token=token_of(dev, "carol")) as carol:
            message = await event_of(carol.stream("user:carol"), "user-message", None)
            assert (message.data["from"], message.data["payload"]) == ("alice", {"order": 1})
            identity = message.data["id"]
    async with Client(dev.url, token=token_of(dev, "carol")) as carol:
        assert await carol.acknowledge([identity]) == 1
        assert await carol.acknowledge([identity]) == 0
