"""Requests of the application, against a server that loses connections at the worst moments."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.checks import take, update_of
from support.scripted import ScriptedServer, Session

from chaincast import Client, Disconnected, GaveUp, Refused


async def test_publish_survives_lost_answer() -> None:
    keys: list[str] = []

    async def script(number: int, session: Session) -> None:
        await session.greet()
        request = await session.receive()
        keys.append(request["data"]["key"])
        if number == 1:
            session.cut()
        else:
            await session.send(event="ack", id=request["id"], data={"success": True, "channel": "room:a", "seq": 12})

    async with ScriptedServer(script) as server, Client(server.url) as client:
        assert await client.publish("room:a", "chat", {"text": "hi"}) == 12
    assert len(keys) == 2 and keys[0] == keys[1]


async def test_refused_publish_raises() -> None:
    async def script(number: int, session: Session) -> None:
        await session.greet()
        request = await session.receive()
        await session.send(event="error", id=request["id"], data={"code": "FORBIDDEN", "message": "no publish claim"})
        await session.receive()

    async with ScriptedServer(script) as server, Client(server.url) as client:
        with pytest.raises(Refused, match="no publish claim") as refused:
            await client.publish("room:a", "chat", {})
        assert refused.value.code == "FORBIDDEN"


async def test_signal_needs_connection() -> None:
    async def script(number: int, session: Session) -> None:
        await session.greet()
        await session.receive()
        session.cut()

    async with ScriptedServer(script) as server, Client(server.url) as client:
        with pytest.raises(Disconnected):
            await client.signal("room:a", "typing", {})
        stream = client.stream("room:a")
        reader = asyncio.create_task(update_of(stream))
        while client.state != "waiting":
            await asyncio.sleep(0.01)
        with pytest.raises(Disconnected):
            await client.signal("room:a", "typing", {})
        reader.cancel()


async def test_presence_lists_members() -> None:
    members: list[dict[str, Any]] = [{"sub": "alice", "info": {"name": "A"}, "sessions": 2, "since": 1790000000000}]

    async def script(number: int, session: Session) -> None:
        await session.greet()
        subscribe = await session.receive()
        assert subscribe["data"] == {"channels": ["room:a"], "mode": "all", "presence": True, "info": {"name": "B"}}
        await session.accept(subscribe, 0)
        joined = {"member": {"sub": "bob", "info": {}}, "count": 2, "timestamp": 1}
        await session.send(event="member-joined", channel="room:a", data=joined)
        request = await session.receive()
        data = {"success": True, "channel": "room:a", "members": members, "count": 1}
        await session.send(event="ack", id=request["id"], data=data)
        await session.receive()

    async with ScriptedServer(script) as server, Client(server.url) as client:
        stream = client.stream("room:a", presence=True, info={"name": "B"})
        assert (await update_of(stream)).event == "member-joined"
        found = await client.presence("room:a")
        assert (found.count, found.members[0].sub, found.members[0].sessions) == (1, "alice", 2)


async def test_own_message_without_echo_is_no_gap() -> None:
    async def script(number: int, session: Session) -> None:
        await session.greet()
        await session.accept(await session.receive(), 10)
        request = await session.receive()
        await session.send(event="ack", id=request["id"], data={"success": True, "channel": "room:a", "seq": 11})
        await session.send(event="room-message", channel="room:a", seq=12, data={"from": "alice"})
        await session.receive()

    async with ScriptedServer(script) as server, Client(server.url) as client:
        stream = client.stream("room:a")
        while client.state != "open":
            await asyncio.sleep(0.01)
        assert await client.publish("room:a", "chat", {}, echo=False) == 11
        assert (await update_of(stream)).seq == 12


async def test_forbidden_ends_client() -> None:
    async def script(number: int, session: Session) -> None:
        await session.greet()
        await session.close(4403, "banned")

    async with ScriptedServer(script) as server, Client(server.url) as client:
        stream = client.stream("new-block")
        with pytest.raises(GaveUp, match="banned") as gave_up:
            await anext(stream)
        assert gave_up.value.code == 4403 and client.state == "stopped"
        with pytest.raises(GaveUp):
            client.stream("new-block")


async def test_token_is_renewed_before_it_expires() -> None:
    renewed = asyncio.Event()

    async def script(number: int, session: Session) -> None:
        await session.greet()
        await session.accept(await session.receive(), 3)
        await session.send(event="token-expiring", data={"expiresAt": 1, "expiresInMs": 30000})
        request = await session.receive()
        assert request["event"] == "auth" and request["data"] == {"token": "token-2"}
        await session.send(event="ack", id=request["id"], data={"success": True, "user": None})
        await session.send(event="new-block", channel="new-block", seq=4, data={})
        renewed.set()
        await session.receive()

    count = 0

    async def token() -> str:
        nonlocal count
        count += 1
        return f"token-{count}"

    async with ScriptedServer(script) as server, Client(server.url, token=token) as client:
        assert (await update_of(client.stream("new-block"))).seq == 4
        assert renewed.is_set() and server.headers == ["Bearer token-1"]


async def test_fixed_token_is_not_renewed() -> None:
    async def script(number: int, session: Session) -> None:
        await session.greet()
        await session.close(4401, "the token expired")

    async with ScriptedServer(script) as server, Client(server.url, token="fixed") as client:
        with pytest.raises(GaveUp, match="valid token"):
            await take(client.stream("new-block"), 1)
        assert server.headers == ["Bearer fixed"]


async def test_states_are_reported() -> None:
    async def script(number: int, session: Session) -> None:
        await session.greet()
        await session.accept(await session.receive(), 0)
        if number == 1:
            await session.close(1001, '{"retryAfterMs":10}')
        else:
            await session.send(event="new-block", channel="new-block", seq=1, data={})
            await session.receive()

    states: list[str] = []
    async with ScriptedServer(script) as server, Client(server.url, on_state=states.append) as client:
        await update_of(client.stream("new-block"))
    assert states == ["connecting", "open", "waiting", "connecting", "open", "stopped"]


async def test_message_that_is_too_long_fails_alone() -> None:
    async def script(number: int, session: Session) -> None:
        await session.greet()
        requests = [await session.receive()]
        if number == 1:
            requests.append(await session.receive())
            await session.close(1009)
            return
        await session.send(event="ack", id=requests[0]["id"], data={"success": True, "channel": "room:a", "seq": 1})
        await session.receive()

    async with ScriptedServer(script) as server, Client(server.url) as client:
        short = asyncio.create_task(client.publish("room:a", "chat", {"text": "short"}))
        long = asyncio.create_task(client.publish("room:a", "chat", {"text": "long" * 100}))
        with pytest.raises(Refused, match="PAYLOAD_TOO_LARGE"):
            await long
        assert await short == 1
