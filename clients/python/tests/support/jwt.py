"""Mints JWTs as `chaincast token` does, with lifetimes of a fraction of a second too."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time


def mint(secret: str, sub: str, *, ttl: float = 3600.0, publish: list[str] | None = None) -> str:
    """A JWT of this subject."""
    claims: dict[str, object] = {"sub": sub, "exp": int(time.time() + ttl)}
    if publish is not None:
        claims["publish"] = publish
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
