"""Streams against a real server without faults."""

from __future__ import annotations

from decimal import Decimal

import pytest
from support.checks import assert_complete, seqs, take, until, update_of
from support.scripted import ScriptedServer, Session
from support.servers import Dev, Gateway

from chaincast import Client, Gap, Position, Refused

CHANNEL = "price:ETH"


async def test_live_begins_with_state(dev: Dev) -> None:
    async with Client(dev.url) as client:
        first, second, third = await take(client.stream(CHANNEL), 3)
        assert first.snapshot and not second.snapshot
        assert seqs([first, second, third]) == list(range(first.seq or 0, (first.seq or 0) + 3))


async def test_prices_are_decimals(dev: Dev) -> None:
    async with Client(dev.url) as client:
        update = await update_of(client.stream(CHANNEL))
        assert isinstance(update.data["price"], Decimal)
        assert update.event == "price-update" and update.channel == CHANNEL


async def test_start_joins_history_to_live(dev: Dev) -> None:
    async with Client(dev.url) as client:
        newest = (await client.rest.price("ETH"))["seq"]
        stream = client.stream(CHANNEL, start="start")
        updates = [update async for update in until(stream, lambda update: (update.seq or 0) >= newest + 5)]
        assert updates[0].seq == 1 and not any(update.snapshot for update in updates)
        await assert_complete(client, updates)


async def test_position_continues_after_it(dev: Dev) -> None:
    async with Client(dev.url) as client:
        stream = client.stream(CHANNEL, start="start")
        position = (await take(stream, 2))[-1].position
        assert position is not None
        stream.close()
        assert seqs(await take(client.stream(CHANNEL, start=position), 2)) == [3, 4]
        assert seqs(await take(client.stream(CHANNEL, start=7), 2)) == [8, 9]


async def test_position_of_other_database_is_gap(dev: Dev) -> None:
    async with Client(dev.url) as client:
        stream = client.stream(CHANNEL, start=Position("of-another-database", 17))
        assert await anext(stream) == Gap(CHANNEL, 18, None, "epoch")
        assert seqs(await take(stream, 2)) == [1, 2]


async def test_position_of_other_database_is_gap_without_history(dev: Dev) -> None:
    async with Client(dev.url) as client:
        stream = client.stream(CHANNEL, start=Position("of-another-database", 17), mode="latest")
        assert await anext(stream) == Gap(CHANNEL, 18, None, "epoch")
        assert (await update_of(stream)).snapshot


async def test_streams_share_subscription(dev: Dev) -> None:
    async with Client(dev.url) as client:
        live = client.stream(CHANNEL)
        first = await update_of(live)
        from_start = client.stream(CHANNEL, start="start")
        late = client.stream("PRICE:eth")
        history = [update async for update in until(from_start, lambda update: update.seq == (first.seq or 0) + 4)]
        await assert_complete(client, history)
        assert seqs(await take(live, 4)) == [(first.seq or 0) + step for step in range(1, 5)]
        begins = await update_of(late)
        assert begins.snapshot and begins.channel == CHANNEL
        assert seqs(await take(late, 2)) == [(begins.seq or 0) + 1, (begins.seq or 0) + 2]


async def test_several_channels_over_one_socket(dev: Dev) -> None:
    async with Client(dev.url) as client:
        streams = [client.stream(name) for name in ("new-block", CHANNEL, "candle:ETH:1m", "heartbeat")]
        events = [(await take(stream, 2))[1].event for stream in streams]
        assert events[1:] == ["price-update", "candle-update", "heartbeat"]
        assert client.state == "open"


async def test_slow_reader_loses_nothing(gateway: Gateway) -> None:
    async with Client(gateway.url) as client:
        slow, fast = client.stream(CHANNEL, buffer=3), client.stream(CHANNEL)
        first = await update_of(slow)
        # The slow reader's buffer, and the replay of the gateway, are far shorter than this.
        await take(fast, 40)
        updates = [first, *await take(slow, 45)]
        await assert_complete(client, updates[1:])
        assert seqs(updates) == list(range(first.seq or 0, (first.seq or 0) + 46))


async def test_latest_leaves_out_updates(dev: Dev) -> None:
    async with Client(dev.url) as client:
        stream = client.stream(CHANNEL, mode="latest", interval=1000)
        found = seqs(await take(stream, 4))
        assert found == sorted(set(found)) and found[-1] - found[0] > 3


async def test_refused_channel_ends_its_stream(dev: Dev) -> None:
    async with Client(dev.url) as client:
        refused, live = client.stream("price:NOPE"), client.stream("new-block")
        with pytest.raises(Refused, match="UNKNOWN_CHANNEL"):
            await anext(refused)
        await take(live, 2)


async def test_unreferenced_stream_is_unsubscribed(dev: Dev) -> None:
    async with Client(dev.url) as client:
        async for _ in client.stream(CHANNEL):
            break
        await take(client.stream("new-block"), 8)
        assert client._connection.position(CHANNEL) is None


async def test_live_begins_with_state_beside_joining_history() -> None:
    update = {"event": "price-update", "channel": CHANNEL, "data": {"price": 1}}

    async def script(number: int, session: Session) -> None:
        await session.greet()
        first, second = await session.receive(), await session.receive()
        assert "since" not in first["data"] and second["data"]["since"] == {CHANNEL: 7}
        # The snapshot of the first subscription is overtaken by the second one.
        await session.accept(first, 8)
        await session.send(**update, seq=8, snapshot=True)
        await session.accept(second, 8, recovered=True)
        await session.send(**update, seq=8)
        await session.receive()

    page = {"data": [{**update, "seq": 7}], "next": None, "epoch": "e1", "seq": 7}
    rest = {"/api/v1/channels/price:ETH/updates": page}
    async with ScriptedServer(script, rest) as server, Client(server.url) as client:
        live = client.stream(CHANNEL)
        resumed = client.stream(CHANNEL, start="start")
        assert seqs(await take(resumed, 2)) == [7, 8]
        begins, follows = await take(live, 2)
        assert (begins.seq, begins.snapshot) == (7, True)
        assert (follows.seq, follows.snapshot) == (8, False)
