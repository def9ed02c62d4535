"""Addresses of a server."""

from __future__ import annotations

import pytest

from chaincast.url import ServerUrl


@pytest.mark.parametrize(
    ("url", "http", "realtime"),
    [
        ("http://h:3000", "http://h:3000", "ws://h:3000/realtime"),
        ("https://h/", "https://h", "wss://h/realtime"),
        ("ws://h/chain/realtime", "http://h/chain", "ws://h/chain/realtime"),
        ("h:3000", "http://h:3000", "ws://h:3000/realtime"),
        ("http://[::1]:4000", "http://[::1]:4000", "ws://[::1]:4000/realtime"),
    ],
)
def test_addresses_derive_from_url(url: str, http: str, realtime: str) -> None:
    addresses = ServerUrl(url)
    assert (addresses.http, addresses.realtime) == (http, realtime)


@pytest.mark.parametrize("url", ["ftp://h", "http://", "", "http://h?token=x"])
def test_rejects_other_urls(url: str) -> None:
    with pytest.raises(ValueError, match="URL|http"):
        ServerUrl(url)
