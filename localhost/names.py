"""The names that storage allows for containers and queues."""

from __future__ import annotations

import re

from localhost.errors import BindingError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}")
_SPECIAL = ("$root", "$web", "$logs")


def check_container(name: str) -> None:
    """Raises :class:`BindingError` for a name that no container can have."""
    if name not in _SPECIAL and not _NAME.fullmatch(name):
        raise BindingError(f"Invalid container name: '{name}'. {_RULE}")


def check_queue(name: str) -> None:
    """Raises :class:`BindingError` for a name that no queue can have."""
    if not _NAME.fullmatch(name):
        raise BindingError(f"Invalid queue name: '{name}'. {_RULE}")


def check_route(route: str) -> None:
    """Raises :class:`BindingError` for a route that the host keeps for itself: by its beginning, not its segment."""
    if route.strip("/").lower().startswith(("admin", "runtime")):
        raise BindingError(
            "The specified route conflicts with one or more built in routes: "
            f"'{route}' begins with 'admin' or 'runtime'."
        )


_RULE = "Use 3 to 63 lower-case letters, digits and single dashes, beginning and ending with a letter or a digit."
