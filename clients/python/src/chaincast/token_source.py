"""Where JWTs come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

TokenSource = str | Callable[[], Awaitable[str | None]]
"""A JWT, or an async function that returns a current one. Only with a function can the client renew it."""


async def fetch(source: TokenSource | None) -> str | None:
    """A current JWT."""
    if source is None or isinstance(source, str):
        return source
    return await source()
