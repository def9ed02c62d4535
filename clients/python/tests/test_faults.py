"""Random schedules of faults: each stream must yield every update once and in order. `FAULTS_SEED=N` repeats one."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

import pytest
from support.checks import assert_complete, update_of
from support.jwt import mint
from support.proxy import Proxy
from support.servers import Dev, Gateway

from chaincast import Client, Stream, Update, http_client

RUNS = 4
FAULTS = 4
"""Faults of a run. Each one makes the client wait longer, since its sessions are short."""
MAX_BETWEEN_FAULTS = 8
"""Updates, at most, between two of them."""


class Tokens:
    """A source of JWTs that can hand out one that expires, and then fail to renew it."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.will_expire = False
        self._must_fail = False

    async def __call__(self) -> str:
        if self._must_fail:
            self._must_fail = False
            raise RuntimeError("the source of tokens fails, as this test wants")
        ttl = 3600.0
        if self.will_expire:
            ttl, self.will_expire, self._must_fail = 1.0, False, True
        return mint(self._secret, "bot", ttl=ttl)


class Schedule:
    """The faults of one run."""

    def __init__(self, rng: random.Random, proxy: Proxy, gateway: Gateway, tokens: Tokens) -> None:
        self._rng = rng
        self._proxy = proxy
        self._gateway = gateway
        self._tokens = tokens
        self.faults: list[Callable[[], Awaitable[None]]] = [
            self.cut,
            self.cut_within_frame,
            self.half_open,
            self.slow,
            self.refuse,
            self.restart,
            self.crash,
            self.expired_token,
        ]

    async def cut(self) -> None:
        """Every connection ends without a close frame."""
        self._proxy.cut()

    async def cut_within_frame(self) -> None:
        """The connections end after a few more bytes."""
        self._proxy.cut_after(self._rng.randrange(1, 300))

    async def half_open(self) -> None:
        """The connections stay open, and nothing arrives any more."""
        self._proxy.freeze()

    async def slow(self) -> None:
        """Each chunk takes longer, until the next fault."""
        self._proxy.delay = self._rng.choice([0.01, 0.05])

    async def refuse(self) -> None:
        """The connections end, and new ones fail for a moment."""
        self._proxy.is_refusing = True
        self._proxy.cut()
        await asyncio.sleep(self._rng.random())
        self._proxy.is_refusing = False

    async def restart(self) -> None:
        """The gateway restarts as in a deployment."""
        await self._gateway.restart(graceful=True)

    async def crash(self) -> None:
        """The gateway is killed and restarts."""
        await self._gateway.restart(graceful=False)

    async def expired_token(self) -> None:
        """The next session ends with 4401."""
        self._tokens.will_expire = True
        self._proxy.cut()


async def follow(stream: Stream, received: list[Update]) -> None:
    """Collects the updates of a stream."""
    while True:
        received.append(await update_of(stream))


async def wait_for(received: list[Update], count: int) -> None:
    """Waits until a stream has this many more updates."""
    wanted = len(received) + count
    while len(received) < wanted:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("run", range(RUNS))
async def test_every_update_once_and_in_order(
    dev: Dev, gateway: Gateway, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "READ_TIMEOUT", 4.0)
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(2**32)))
    print(f"FAULTS_SEED={seed}")
    rng = random.Random(seed)
    tokens = Tokens(dev.secret)
    async with Proxy(gateway.port) as proxy, Client(proxy.url, token=tokens) as client:
        schedule = Schedule(rng, proxy, gateway, tokens)
        received: list[list[Update]] = [[], [], []]
        streams = [
            client.stream("price:ETH", start="start", buffer=rng.choice([2, 1000])),
            client.stream("new-block", start="start"),
            client.stream("price:ETH", buffer=rng.choice([2, 1000])),
        ]
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(follow(stream, updates))
                for stream, updates in zip(streams, received, strict=True)
            ]
            await wait_for(received[2], 1)
            for fault in rng.sample(schedule.faults, FAULTS):
                print("fault:", fault.__name__)
                proxy.delay = 0.0
                await fault()
                await wait_for(rng.choice(received), rng.randrange(1, MAX_BETWEEN_FAULTS))
            proxy.delay = 0.0
            for updates in received:
                await wait_for(updates, 3)
            for reader in readers:
                reader.cancel()
        async with Client(dev.url) as direct:
            assert received[0][0].seq == received[1][0].seq == 1
            assert received[2][0].snapshot and not any(update.snapshot for update in received[2][1:])
            await assert_complete(direct, received[0])
            await assert_complete(direct, received[1])
            await assert_complete(direct, received[2][1:])
            assert received[2][1].seq == (received[2][0].seq or 0) + 1
