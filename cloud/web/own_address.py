"""Where the app itself is reached: by its own settings, never by what a request says of it.

Whoever sends a request chooses its header Host: a key that was sent to that host would be anybody's.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

import azure.functions as func

from cloud.settings import current, host_name
from inference.errors import NotReady
from inference.loopback import is_loopback

_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_PORTS = {"http": 80, "https": 443}
# The functions with pages' addresses, by which the part of a path before them is known.
_ANONYMOUS = frozenset(("gallery", "media", "session", "static"))


def own_address(request: func.HttpRequest) -> str:
    """The app's own address with its route prefix, such as `https://app.azurewebsites.net/api`. Raises NotReady where
    no setting says it."""
    return f"{_own_host(request)}{prefix_of(request)}"


def _own_host(request: func.HttpRequest) -> str:
    if said := current().app_url.rstrip("/"):
        if _ADDRESS.fullmatch(said) is None:
            raise NotReady(
                f"APP_URL is {said[:100]!r}, expected scheme and host alone, such as https://pictures.example.org",
                "setting:APP_URL",
            )
        return said
    if name := host_name():
        return f"http://{name}" if is_loopback(f"http://{name}") else f"https://{name}"
    if is_own_machine(request):
        parts = urlsplit(request.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    raise NotReady(
        "no setting says under which address this app is reached, as WEBSITE_HOSTNAME does in Azure: "
        "set APP_URL, such as https://pictures.example.org",
        "setting:APP_URL",
    )


def prefix_of(request: func.HttpRequest) -> str:
    """What stands before the routes of functions in the path of a request for a page: "/api", or "" without any."""
    segments = urlsplit(request.url).path.split("/")
    before = next((i for i, segment in enumerate(segments) if segment.lower() in _ANONYMOUS), 1)
    return "/".join(segments[:before])


def is_own_machine(request: func.HttpRequest) -> bool:
    """Whether the request was sent to an address of the machine itself."""
    return is_loopback(request.url)


def is_own_origin(request: func.HttpRequest, origin: str) -> bool:
    """Whether a page of this origin is one of this app: of the address that was asked, or of that of the settings.

    The header Host counts here: a browser writes it, and sends no cookie of ours to another host.
    """
    asked = urlsplit(request.url)
    own = {_origin(asked), _origin(asked._replace(scheme="https"))}  # TLS may end before the app
    for text in (current().app_url, f"https://{host_name()}"):
        own.add(_origin(urlsplit(text)))
    return _origin(urlsplit(origin)) in own - {None}


def _origin(parts: SplitResult) -> tuple[str, str, int] | None:
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port else None
