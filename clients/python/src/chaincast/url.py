"""The addresses of a server."""

from __future__ import annotations

from urllib.parse import urlsplit

_SCHEMES = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}


class ServerUrl:
    """The URL of a server, such as `http://127.0.0.1:3000`, with or without a path in front of its resources."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"{parts.scheme}:// is not supported: use http:// or https://")
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host: use something like http://127.0.0.1:3000")
        if parts.query or parts.fragment:
            raise ValueError("the URL of the server has no query and no fragment; pass a token as token=")
        path = parts.path.rstrip("/").removesuffix("/realtime")
        http, ws = _SCHEMES[parts.scheme]
        self.http = f"{http}://{parts.netloc}{path}"
        self.realtime = f"{ws}://{parts.netloc}{path}/realtime"
