"""Tokens that say for whom they are, and a way for them over plain http on loopback."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy


class FakeCredential:
    """Unsigned JWTs with the audience that was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ttl = [3600.0]  # of the next tokens; the last one stays

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.asked.append(scopes[0])
        ttl = self.ttl.pop(0) if len(self.ttl) > 1 else self.ttl[0]
        # What the client believes about expiry and what the token says differ when clocks do.
        return AccessToken(make_token(scopes[0].removesuffix("/.default"), time.time() + ttl), int(time.time()) + 3600)


def make_token(audience: str, expires: float) -> str:
    """An unsigned JWT."""
    claims = {"aud": audience.rstrip("/"), "exp": expires}
    return f"{_part({'alg': 'none'})}.{_part(claims)}.c2ln"


def _part(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


class OverHttp(SansIOHTTPPolicy[Any, Any]):
    """The SDK's bearer policy refuses plain http; on loopback this one stands in for it."""

    def __init__(self, credential: FakeCredential) -> None:
        self.credential = credential

    def on_request(self, request: Any) -> None:
        request.context.options.pop("enforce_https", None)
        token = self.credential.get_token("https://management.azure.com/.default").token
        request.http_request.headers["Authorization"] = f"Bearer {token}"
