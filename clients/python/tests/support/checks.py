"""What every stream must satisfy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from chaincast import Client, Stream, Update


async def take(stream: Stream, count: int) -> list[Update]:
    """The next updates; fails on a gap."""
    return [await update_of(stream) for _ in range(count)]


async def update_of(stream: Stream) -> Update:
    """The next update; fails on a gap."""
    item = await anext(stream)
    assert isinstance(item, Update), f"expected an update, got {item}"
    return item


async def until(stream: Stream, condition: Callable[[Update], bool]) -> AsyncIterator[Update]:
    """The updates up to the first one that satisfies a condition."""
    while True:
        update = await update_of(stream)
        yield update
        if condition(update):
            return


def seqs(updates: list[Update]) -> list[int]:
    """The seqs of stored updates."""
    return [update.seq for update in updates if update.seq is not None]


async def assert_complete(client: Client, updates: list[Update]) -> None:
    """Fails unless these are all stored updates of their channel between the first and the last of them."""
    first, last = seqs(updates)[0], seqs(updates)[-1]
    assert seqs(updates) == list(range(first, last + 1)), "an update is missing, repeated or out of order"
    stored = await client.rest.updates(updates[0].channel, since=first - 1).take(last - first + 1)
    assert [message["data"] for message in stored] == [update.data for update in updates]
