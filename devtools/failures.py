"""What keeps an installation or a run from working, in a sentence with the remedy: of the system, of pip, of npm.

Standard library only.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Mapping
from urllib.parse import urlsplit

from inference import os_errors

AGAIN = "Then run this again."
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)

FULL = "the disk of {folder}, or of {temporary}, is full: make room"
NO_WRITING = "a folder may not be written: have it given to you, or clone the project into a folder of your own"
SOCKS = "a SOCKS proxy is set (ALL_PROXY, HTTPS_PROXY), which pip cannot use: name an HTTP proxy in HTTPS_PROXY"
PROXY = "the proxy{proxy} does not let it through: mend HTTPS_PROXY, with USER:PASSWORD@ where the proxy asks for them"
UNTRUSTED = (
    "the certificate of {place} is not trusted, as behind a proxy that reads TLS: name the file with your company's CA "
    "in PIP_CERT, NODE_EXTRA_CA_CERTS and SSL_CERT_FILE"
)
NO_CA = "PIP_CERT, REQUESTS_CA_BUNDLE or pip's `cert` names a file of certificates that is not there: mend that"
UNREACHED = "{place} does not answer{proxy}. Is the network there? A proxy is set by the variable HTTPS_PROXY, {mirror}"
LOGIN = "{place} asks for a login, or refuses yours: {login}"
ABSENT = "{place} lacks what the lines above name: mend its address, or set {mirror}"
BROKEN = "{place} is out of order: try later, or set {mirror}"

# What pip writes, whatever its version, by what it means; the first that is found holds.
_PIP = (
    ("No space left|not enough space|Disk quota exceeded", FULL),
    ("Missing dependencies for SOCKS", SOCKS),
    ("CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCertVerificationError", UNTRUSTED),
    ("Could not find a suitable TLS CA certificate bundle", NO_CA),
    ("Tunnel connection failed|ProxyError|Cannot connect to proxy|407 Proxy|answers 407", PROXY),
    (r"Permission denied|Read-only file system|Errno 13\b|Errno 30\b", NO_WRITING),
    (r"40[13] (Client )?Error|HTTP error 40[13]|Credentials not correct|answers 40[13]", LOGIN),
    (r"50\d (Server )?Error|HTTP error 50\d|answers 5\d\d", BROKEN),
    (
        "connection broken|Failed to establish|Failed to resolve|NameResolutionError|timed out|Max retries exceeded"
        "|Connection refused|no answer|unreachable|Temporary failure in name|not a trusted or secure host",
        UNREACHED,
    ),
    (
        "from versions:|No matching distribution|HTTP error 404|404 Client Error|it answers|unknown url type",
        ABSENT,
    ),
)
# npm's codes.
_NPM = (
    ("ENOSPC|EDQUOT", FULL),
    ("EACCES|EPERM|EROFS", NO_WRITING),
    (r"\w*CERT\w*|UNABLE_TO_\w+", UNTRUSTED),
    ("E407", PROXY),
    ("E401|E403|ENEEDAUTH|EOTP", LOGIN),
    ("E404|ETARGET|ENOVERSIONS", ABSENT),
    (
        r"ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|FETCH_ERROR|E50\d",
        UNREACHED,
    ),
)


def in_words(error: OSError, folder: object = ".") -> str:
    """A sentence about an error of the system; folder: whose disk it is where the error names no file."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    why = error.strerror or str(error)
    if error.errno in os_errors.FULL:
        return f"The disk of {where or folder} is full ({why}): make room. {AGAIN}"
    if error.errno in _REFUSED:
        return (
            f"{where or folder} may not be read or written ({why}): have it given to you, or clone the project into a "
            f"folder of your own. {AGAIN}"
        )
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return f"{where} is a file where a folder is expected: move it away. {AGAIN}"
    if isinstance(error, IsADirectoryError):
        return f"{where} is a folder where a file is expected: move it away. {AGAIN}"
    return f"{where}: {why}. Mend that, and run this again." if where else f"{why}. Mend that, and run this again."


def of_pip(complaints: str, index: str, answer: str, folder: object) -> str:
    """Why pip failed, from what it wrote, and the remedy; "" where that is not known.

    index: its address. answer: what it said to a question of our own, "" where it was not asked or has what was wanted:
    to pip a refusal is an index without packages.
    """
    kind = next((kind for pattern, kind in _PIP if re.search(pattern, answer or complaints)), "")
    return _filled(
        kind,
        folder,
        place=f"the package index {without_password(index)}"
        + (f" ({answer.removeprefix('no answer: ')})" if answer else ""),
        mirror="an index of your own by `pip config set global.index-url URL`",
        login="write it into the index's address (https://USER:PASSWORD@...), or into ~/.netrc",
    )


def of_npm(complaints: str, folder: object) -> str:
    """Why npm failed where that is not npm's own fault, and the remedy; else ""."""
    code = re.search(r"npm (?:error|ERR!) code (\S+)", complaints)
    kind = next((kind for pattern, kind in _NPM if code and re.fullmatch(pattern, code[1])), "")
    if "statusCode=407" in complaints or "Proxy Authentication" in complaints:
        kind = PROXY
    url = re.search(r"https?://[^\s'\"]+", complaints)
    registry = without_password(urlsplit(url[0])._replace(path="", query="").geturl()) if url else ""
    return _filled(
        kind,
        folder,
        place=f"the npm registry {registry}".strip(),
        mirror="a registry of your own by `npm config set registry URL`",
        login="`npm login`, or a token in ~/.npmrc",
    )


def _filled(kind: str, folder: object, **words: str) -> str:
    proxy = proxies(os.environ)
    named = f" ({', '.join(f'{name}={url}' for name, url in proxy.items())})" if proxy else ""
    return kind.format(folder=folder, temporary=tempfile.gettempdir(), proxy=named, **words)


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies that the environment names, without their passwords."""
    names = [name for name in environ if name.lower().endswith("_proxy") and name.lower() != "no_proxy"]
    return {name: without_password(environ[name]) for name in sorted(names) if environ[name]}


def without_password(url: str) -> str:
    """An address as it may be shown, also one without `http://`, or with a password that should have been quoted."""
    return re.sub(r"^(\s*[A-Za-z][\w+.-]*://)?.*@", r"\1", url, flags=re.DOTALL)
