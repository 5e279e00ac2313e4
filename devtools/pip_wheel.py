"""pip for a Python that comes without it, as Debian's and Ubuntu's do: its own wheel. Standard library only."""

from __future__ import annotations

import hashlib
import html
import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

WHEEL = "pip-26.3-py3-none-any.whl"
SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
PYPI = "https://pypi.org/simple"
# Where pip reads its configuration; a later file wins.
CONFIGURATION = (
    "/etc/xdg/pip/pip.conf", "/etc/pip.conf", "/Library/Application Support/pip/pip.conf",
    "~/.pip/pip.conf", "~/.config/pip/pip.conf", "~/Library/Application Support/pip/pip.conf", "$APPDATA/pip/pip.ini",
)  # fmt: skip


class NoPip(Exception):
    """The wheel could not be had; the message says from where and why."""


def fetch(folder: Path) -> Path:
    """Download the wheel into `folder`, from PyPI or the index that pip is configured to use. Raises NoPip."""
    index = urlsplit(index_url())
    host = index.netloc.rpartition("@")[2]
    try:
        opener = _opener(host, unquote(index.username or ""), unquote(index.password or ""))
        page_url = index._replace(netloc=host, path=index.path.rstrip("/") + "/pip/").geturl()
        with opener.open(page_url, timeout=60) as page:
            link = re.search(rf'href="([^"]+)"[^>]*>\s*{re.escape(WHEEL)}\s*<', page.read().decode())
            if link is None:
                raise NoPip(f"{host} has no {WHEEL}")
            wheel_url = urljoin(page.url, html.unescape(link[1]))
        with opener.open(wheel_url, timeout=60) as answer:
            wheel: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise NoPip(f"{host} did not give {WHEEL} ({error})") from error
    if hashlib.sha256(wheel).hexdigest() != SHA256:
        raise NoPip(f"{host} gave a {WHEEL} with another SHA-256 than {SHA256}")
    file = folder / WHEEL
    file.write_bytes(wheel)
    return file


def index_url() -> str:
    """The address of the index that pip asks. Raises NoPip for a configuration that cannot be read."""
    return option("index-url") or PYPI


def refusal(package: str, timeout_s: float = 5) -> str:
    """What the index says where it does not give this package's page: "" where it does. Raises NoPip as index_url."""
    index = urlsplit(index_url())
    host = index.netloc.rpartition("@")[2]
    opener = _opener(host, unquote(index.username or ""), unquote(index.password or ""))
    page_url = index._replace(netloc=host, path=f"{index.path.rstrip('/')}/{package}/").geturl()
    try:
        with opener.open(page_url, timeout=timeout_s) as page:
            return "" if b"<a " in page.read().lower() else "it answers with a page without packages"
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answers {error.code} {error.reason}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"no answer: {getattr(error, 'reason', error)}"


def option(name: str) -> str:
    """The value that pip's environment or configuration files give this option of `pip install`, or ""."""
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(
            [
                os.path.expanduser(os.path.expandvars(file))
                for file in (*CONFIGURATION, os.environ.get("PIP_CONFIG_FILE", ""))
            ]
        )
    except (ConfigError, UnicodeDecodeError) as error:
        raise NoPip(f"pip's configuration cannot be read ({error})") from error
    in_files = parser.get("install", name, fallback="") or parser.get("global", name, fallback="")
    return os.environ.get("PIP_" + name.upper().replace("-", "_")) or in_files


def _opener(host: str, user: str, password: str) -> urllib.request.OpenerDirector:
    """An opener that trusts the certificates that pip trusts, and gives the index its password."""
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if user:
        passwords.add_password(None, host, user, password, is_authenticated=True)
    try:
        context = ssl.create_default_context(cafile=option("cert") or None)
    except OSError as error:
        raise NoPip(
            f"the certificates of {option('cert')}, which pip's `cert` names, cannot be read ({error})"
        ) from error
    return urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), urllib.request.HTTPBasicAuthHandler(passwords)
    )
