"""Addresses of this machine, which no proxy can reach for us. Standard library only."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit

NAMES = ("127.0.0.1", "localhost", "::1")


def is_loopback(url: str) -> bool:
    """Whether this address leads to the machine itself."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(url: str) -> bool:
    """Whether this address says itself that it leads to the machine, or to a network that is not the internet's; where
    a name leads, it does not say."""
    try:
        host = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return is_loopback(url)
    return not (getattr(host, "ipv4_mapped", None) or host).is_global


def bypass_proxy(environ: MutableMapping[str, str] = os.environ) -> None:
    """Have NO_PROXY name this machine, for us and for every process that we start; what it names already stays.

    Without any proxy in the environment nothing is set: Python takes NO_PROXY alone for a word about proxies, and no
    longer asks the system (Windows, macOS) for its own.
    """
    if not any(value for name, value in environ.items() if name.lower().endswith("_proxy")):
        return
    lower, upper = environ.get("no_proxy", ""), environ.get("NO_PROXY", "")
    for name, value in (("no_proxy", lower or upper), ("NO_PROXY", upper or lower)):
        named = [part.strip() for part in value.split(",") if part.strip()]
        if named != ["*"]:
            environ[name] = ",".join([*named, *(host for host in NAMES if host not in named)])
