"""REST requests with tokens that expire or cannot be had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from chaincast import Client, RestError, Unreachable, http_client


@asynccontextmanager
async def server(*statuses: int) -> AsyncIterator[tuple[str, list[str | None]]]:
    """A server that answers with these statuses, then with 200; its URL, and the `Authorization` of each request."""
    left, seen = list(statuses), list[str | None]()

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        status = left.pop(0) if left else 200
        headers = {"Retry-After": "0"} if status == 503 else {}
        body = {"status": status, "code": "CODE", "detail": "as the test wants"} if status != 200 else {"version": "1"}
        return web.json_response(body, status=status, headers=headers)

    app = web.Application()
    app.router.add_get("/api/v1/status", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


class Tokens:
    """Numbered tokens; the first ones fail."""

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures
        self._count = 0

    async def __call__(self) -> str:
        self._count += 1
        if self._count <= self._failures:
            raise OSError("no network")
        return str(self._count)


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "FIRST_DELAY", 0.001)


async def test_busy_server_is_asked_again() -> None:
    async with server(503, 429, 503) as (url, seen), Client(url) as client:
        assert await client.rest.status() == {"version": "1"}
        assert seen == [None] * 4


async def test_expired_token_is_replaced_once() -> None:
    async with server(401) as (url, seen), Client(url, token=Tokens()) as client:
        assert await client.rest.status() == {"version": "1"}
        assert seen == ["Bearer 1", "Bearer 2"]
    async with server(401, 401) as (url, _), Client(url, token=Tokens()) as client:
        with pytest.raises(RestError, match="401"):
            await client.rest.status()
    async with server(401) as (url, _), Client(url, token="fixed") as client:
        with pytest.raises(RestError, match="401"):
            await client.rest.status()


async def test_failed_token_function_is_called_again() -> None:
    async with server() as (url, seen), Client(url, token=Tokens(failures=2)) as client:
        assert await client.rest.status() == {"version": "1"}
        assert seen == ["Bearer 3"]
    async with server() as (url, seen), Client(url, token=Tokens(failures=99)) as client:
        with pytest.raises(Unreachable, match="no network"):
            await client.rest.status()
        assert seen == []
