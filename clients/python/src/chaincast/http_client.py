"""GET requests to the REST API, with retries."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from . import json_text, token_source
from .errors import ClientClosed, RestError, Unreachable
from .token_source import TokenSource

_log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 60.0
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 20.0
"""Without any data for this long, a connection is dead. The server answers sooner, if only with an error."""
MAX_ATTEMPTS = 5
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
LONGEST_RETRY_AFTER = 300.0
_TRANSIENT = frozenset({429, 502, 503, 504})

Parameter = str | int | None


def path(*segments: str | int) -> str:
    """A path under `/api/v1` of these segments."""
    return "/api/v1/" + "/".join(quote(str(segment), safe="") for segment in segments)


class Http:
    """The connections to one server. They open at the first request."""

    def __init__(self, base: str, token: TokenSource | None) -> None:
        self._base = base
        self._token = token
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def aclose(self) -> None:
        """Closes all connections."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def get(
        self, path: str, parameters: Mapping[str, Parameter] | None = None, *, max_attempts: int | None = MAX_ATTEMPTS
    ) -> Any:
        """The JSON of a resource. Repeats the request while the server is unreachable or busy, at most `max_attempts` times.

        Raises `RestError` for a refusal and `Unreachable` after the last attempt.
        """
        query = {name: str(value) for name, value in (parameters or {}).items() if value is not None}
        attempt = 0
        has_renewed = False
        while True:
            attempt += 1
            try:
                return await self._attempt(path, query)
            except RestError as error:
                # The token may have expired on its way.
                if error.status != 401 or has_renewed or not callable(self._token):
                    raise
                has_renewed = True
            except _TransientError as error:
                if max_attempts is not None and attempt >= max_attempts:
                    raise (error.problem or Unreachable(f"no answer from {self._base}{path}: {error.reason}")) from error
                longest = min(FIRST_DELAY * 2.0 ** min(attempt - 1, 20), LONGEST_DELAY)
                delay = longest * (0.5 + random.random() / 2)
                if error.retry_after is not None:
                    delay = min(error.retry_after, LONGEST_RETRY_AFTER) + delay / 2
                _log.info("GET %s failed, retrying in %.1f s: %s", path, delay, error.reason)
                await asyncio.sleep(delay)

    async def _attempt(self, path: str, query: Mapping[str, str]) -> Any:
        try:
            token = await token_source.fetch(self._token)
        except Exception as error:
            raise _TransientError(f"the token function failed: {error!r}") from error
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._client().get(self._base + path, params=query, headers=headers) as response:
                status, body = response.status, await response.read()
                seconds = response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _TransientError(str(error) or type(error).__name__) from error
        if status == 200:
            return json_text.parse(body)
        problem = _problem(status, body)
        if status in _TRANSIENT:
            raise _TransientError(str(problem), problem, float(seconds) if seconds.isdigit() else None)
        raise problem

    def _client(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClientClosed("the client was closed")
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT, connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        return self._session


class _TransientError(Exception):
    """A failure after which the same request can succeed."""

    def __init__(self, reason: str, problem: RestError | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem
        self.retry_after = retry_after


def _problem(status: int, body: bytes) -> RestError:
    try:
        document = json_text.parse(body)
        return RestError(status, document["code"], document["detail"], document)
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode("utf-8", "replace")
        detail = f"the answer is not one of chaincast ({text!r}): is this the URL of a chaincast server?"
        return RestError(status, "UNKNOWN", detail, {})
