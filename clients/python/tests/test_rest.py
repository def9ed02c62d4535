"""The REST helpers against a real server."""

from __future__ import annotations

from decimal import Decimal

import pytest
from support.checks import take
from support.servers import Dev

from chaincast import Client, RestError, Unreachable, http_client


async def test_blocks_over_several_pages(dev: Dev) -> None:
    async with Client(dev.url) as client:
        head = (await client.rest.block())["number"]
        numbers = [block["number"] async for block in client.rest.blocks(before=head, limit=3)]
        assert numbers == list(range(head - 1, numbers[-1] - 1, -1)) and len(numbers) > 3
        finalized = await client.rest.block(numbers[-1])
        assert (await client.rest.block(finalized["hash"]))["number"] == numbers[-1]


async def test_transactions_of_block_and_address(dev: Dev) -> None:
    async with Client(dev.url) as client:
        async for block in client.rest.blocks():
            if block["transactions"]:
                break
        [first] = await client.rest.block_transactions(block["number"]).take(1)
        whole = await client.rest.transaction(first["hash"])
        assert whole["blockHash"] == first["blockHash"] and "logs" in whole
        sent = await client.rest.transactions(first["from"], limit=2).take(3)
        assert sent and all(first["from"] in (one["from"], one["to"]) for one in sent)
        assert await client.rest.transfers(first["from"]).take(1) is not None


async def test_prices_keep_all_digits(dev: Dev) -> None:
    async with Client(dev.url) as client:
        # Waits for the first ones of a new deployment.
        await take(client.stream("candle:ETH:1m"), 2)
        price = await client.rest.price("eth")
        assert isinstance(price["price"], Decimal)
        assert [one["token"] for one in await client.rest.prices().take(100) if one["token"] == "ETH"] == ["ETH"]
        assert "ETH" in [one["symbol"] for one in await client.rest.tokens().take(100)]
        ticks = await client.rest.history("ETH", limit=2).take(5)
        assert len(ticks) == 5 and all(isinstance(tick["price"], Decimal) for tick in ticks)
        [candle] = await client.rest.candles("ETH", limit=1).take(1)
        assert candle["low"] <= candle["close"] <= candle["high"]


async def test_contract_events(dev: Dev) -> None:
    async with Client(dev.url) as client:
        assert await client.rest.contracts().take(10) == []
        with pytest.raises(RestError) as refused:
            await client.rest.contract_events("nope").take(1)
        assert refused.value.status == 404


async def test_problem_names_what_is_wrong(dev: Dev) -> None:
    async with Client(dev.url) as client:
        with pytest.raises(RestError, match="limit must be 1 to 1000") as refused:
            await client.rest.pages("/api/v1/blocks", limit=5000).take(1)
        assert (refused.value.status, refused.value.code) == (400, "BAD_REQUEST")
        assert refused.value.problem["parameter"] == "limit"


async def test_status(dev: Dev) -> None:
    async with Client(dev.url) as client:
        status = await client.rest.status()
        assert status["epoch"] and status["version"]


async def test_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "FIRST_DELAY", 0.01)
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(Unreachable, match="127.0.0.1:1"):
            await client.rest.status()
