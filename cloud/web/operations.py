"""How an operation of the API is declared, once, beside its body.

By the same declaration requests are dispatched (api_router), their parameters read (parameters), and the OpenAPI
document is made (openapi).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

import azure.functions as func

# Of the functions in function_app.py that lead to the API: a key of theirs is that right.
Right = Literal["read", "contribute", "operate", "operate_actions"]
RIGHTS: tuple[Right, ...] = get_args(Right)

Q = TypeVar("Q")


@dataclass(frozen=True)
class NoQuery:
    """The parameters of an operation that has none."""


@dataclass(frozen=True)
class Call(Generic[Q]):
    """A request, as an operation's body gets it. name: the last segment of its path, slashes included."""

    request: func.HttpRequest
    name: str
    query: Q


@dataclass(frozen=True)
class File:
    """An answer, or a body, that is no JSON: its media types."""

    media_types: tuple[str, ...] = ("application/octet-stream",)


@dataclass(frozen=True)
class Takes:
    """What the body of a request may be: by media type a type of JSON, or None for bytes. optional: or none at all."""

    kinds: Mapping[str, Any]
    optional: bool = False


@dataclass(frozen=True)
class Header:
    """A header of an answer: what it means, and whether each such answer has it."""

    says: str
    always: bool = True


@dataclass(frozen=True)
class Operation:
    """template: of the path, whose last segment may be a parameter, `{name}` say, that takes slashes. says: what it
    does, in a sentence. query: a frozen dataclass with a field a parameter. answers: by status what a good answer is, a
    TypedDict, a File, several of them in a tuple, or None for no body; errors are alike everywhere. headers: of the
    request, with what each means. gives: headers of the answer, by its status. also_head: whether HEAD is documented
    (every GET answers it). stores_nothing: a PUT, POST or DELETE that read-only mode leaves.
    """

    method: str
    template: str
    body: Callable[[Call[Any]], func.HttpResponse]
    answers: Mapping[int, Any]
    says: str = ""
    query: type = NoQuery
    takes: Takes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    gives: Mapping[int, Mapping[str, Header]] = field(default_factory=dict)
    also_head: bool = False
    stores_nothing: bool = False

    @property
    def name(self) -> str:
        """As clients call it."""
        return self.body.__name__

    @property
    def parameter(self) -> str:
        """What the last segment of its path is called; "" where that is fixed."""
        return self.template.partition("{")[2].rstrip("}")

    @property
    def right(self) -> Right:
        """The function whose key opens it."""
        if self.template.startswith("operate/"):
            return "operate_actions"
        if self.method == "DELETE":
            return "operate"
        return "read" if self.method == "GET" else "contribute"

    @property
    def changes(self) -> bool:
        """Whether it is refused in read-only mode."""
        return self.method != "GET" and not self.stores_nothing

    def match(self, path: str) -> str | None:
        """The name in a path, "" where the template has none; None where the path is not of this operation."""
        literal = self.template.partition("{")[0]
        if not self.parameter:
            return "" if path.rstrip("/") == literal else None
        return (
            path.removeprefix(literal) if path.startswith(literal) and path.strip("/") != literal.strip("/") else None
        )


def operation(
    method: str, template: str, answers: Mapping[int, Any], **more: Any
) -> Callable[[Callable[[Call[Any]], func.HttpResponse]], Operation]:
    """Declares the body below as an operation; its docstring says what it does. more: fields of Operation."""

    def declared(body: Callable[[Call[Any]], func.HttpResponse]) -> Operation:
        return Operation(method, template, body, answers, " ".join((body.__doc__ or "").split()), **more)

    return declared
