"""Templates to answers: one environment, one set of headers, static files by the hash of their content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import azure.functions as func
import jinja2

from cloud.web.pages.times import with_times
from cloud.web.session import Session
from cloud.web.static import FOLDER, static_address

_HERE = Path(__file__).parent
STATIC = FOLDER
# Nothing inline and nothing from elsewhere: a name or a label that got out of its escaping still runs nothing.
POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie",
}


@dataclass(frozen=True)
class Frame:
    """What every page needs. path: below gallery/, from which relative addresses are counted: so any prefix of the app
    and any proxy before it hold. query: of the list that the page belongs to, with its "?"."""

    path: str
    session: Session
    query: str = ""

    @property
    def home(self) -> str:
        """The way to gallery/, "./" from there."""
        return "../" * self.path.count("/") or "./"

    @property
    def root(self) -> str:
        """The way to where static/, media/ and session lie."""
        return "../" * (self.path.count("/") + 1)

    def result(self, name: str, query: str | None = None) -> str:
        """The way to an upload's page."""
        return f"{self.home}result/{in_path(name)}{self.query if query is None else query}"

    def static(self, file: str) -> str:
        """The way to a static file; another one for every content."""
        return self.root + static_address(file)

    def media(self, address: str) -> str:
        """The way to a signed address."""
        return self.root + address

    def may(self, right: str) -> bool:
        """Whether the session has a right."""
        return right in self.session.rights


def in_path(name: str) -> str:
    """A name as the end of an address. Its slashes stay: they are counted by what is relative."""
    return quote(name, safe="/", errors="surrogatepass")


@cache
def environment() -> jinja2.Environment:
    """The templates, escaped whatever they are; a name that a template misspells is an error."""
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        auto_reload=False,
    )  # fmt: skip
    made.filters["times"] = with_times
    return made


def html(template: str, frame: Frame, **context: Any) -> str:
    """A page as text."""
    return environment().get_template(template).render(frame=frame, **context)


def page(
    template: str, frame: Frame, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> func.HttpResponse:
    """A page as an answer."""
    body = html(template, frame, **context).encode("utf-8", "replace")
    return func.HttpResponse(
        body, status_code=status, mimetype="text/html", charset="utf-8", headers={**HEADERS, **(headers or {})}
    )


def redirect(address: str) -> func.HttpResponse:
    """On to another page, by GET. address: relative."""
    return func.HttpResponse(status_code=303, headers={**HEADERS, "Location": address})
