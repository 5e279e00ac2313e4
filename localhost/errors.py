"""Every error that the host reports in a sentence.

HostError
├── SettingsError            local.settings.json, host.json or an app setting cannot be used: the host does not start
├── IndexingError            the app itself cannot be indexed: the real worker loads none of its functions
│   └── FunctionLoadError    one function does not fit its bindings
├── PortError               the port cannot be listened on
└── BindingError             one function cannot be set up: the host runs the others
"""

from __future__ import annotations


class HostError(Exception):
    """Something that the person who runs the host has to change."""


class SettingsError(HostError):
    """local.settings.json, host.json or an app setting cannot be used."""


class IndexingError(HostError):
    """The app cannot be indexed; the real worker then loads no function at all."""


class FunctionLoadError(IndexingError):
    """A function's Python signature does not fit its bindings."""

    def __init__(self, function: str, message: str) -> None:
        super().__init__(f"cannot load the {function} function: {message}")


class PortError(HostError):
    """The port cannot be listened on."""


class BindingError(HostError):
    """One function's bindings cannot be set up; the host runs the others."""
