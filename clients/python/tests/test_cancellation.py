"""Any await may be cancelled: nothing is lost, and no task or socket is left (`conftest.py` checks that after each test)."""

from __future__ import annotations

import asyncio

import pytest
from support.checks import assert_complete, take, update_of
from support.proxy import Proxy
from support.servers import Dev, Gateway

from chaincast import Client, ClientClosed, Update


async def test_cancelled_reads_lose_nothing(gateway: Gateway) -> None:
    async with Client(gateway.url) as client:
        stream = client.stream("price:ETH", start="start")
        received: list[Update] = []
        timeout = 0.0
        while len(received) < 40:
            # Cancels at every await of a read in turn: in history, between it and the live channel, and there.
            timeout = (timeout + 0.0007) % 0.05
            try:
                async with asyncio.timeout(timeout):
                    received.append(await update_of(stream))
            except TimeoutError:
                pass
        assert received[0].seq == 1
        await assert_complete(client, received)


@pytest.mark.parametrize("moments", range(0, 60, 3))
async def test_client_cancelled_while_connecting(dev: Dev, moments: int) -> None:
    async def use() -> None:
        async with Client(dev.url) as client:
            await take(client.stream("new-block"), 100)

    task = asyncio.create_task(use())
    for _ in range(moments):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_close_ends_streams_and_requests(gateway: Gateway) -> None:
    async with Proxy(gateway.port) as proxy:
        client = Client(proxy.url)
        stream = client.stream("price:ETH")
        await take(stream, 2)
        proxy.freeze()
        request = asyncio.create_task(client.acknowledge([1]))
        reader = asyncio.create_task(take(stream, 1000))
        await asyncio.sleep(0)
        await client.aclose()
        for task in (request, reader):
            with pytest.raises(ClientClosed):
                await task
        with pytest.raises(ClientClosed):
            client.stream("new-block")
        with pytest.raises(ClientClosed):
            await client.rest.status()


async def test_close_without_use() -> None:
    async with Client() as client:
        assert client.state == "idle"
    await client.aclose()


async def test_cancelled_request_is_forgotten(gateway: Gateway) -> None:
    async with Proxy(gateway.port) as proxy, Client(proxy.url) as client:
        await take(client.stream("price:ETH"), 1)
        proxy.freeze()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.publish("room:lobby", "chat", {})
        assert client._requests == {}
