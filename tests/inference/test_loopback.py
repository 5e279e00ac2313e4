"""Which addresses are this machine's, and what the environment says of proxies for them."""

from __future__ import annotations

import urllib.request

import pytest

from inference.loopback import bypass_proxy, is_loopback

ALL = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:10000/devstoreaccount1", "http://127.8.8.8", "https://localhost:1", "HTTP://LOCALHOST/",
        "http://[::1]:10000/a", "http://devstoreaccount1.blob.localhost:10000/",
    ],
)  # fmt: skip
def test_addresses_of_this_machine(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    ["https://a.blob.core.windows.net", "http://10.0.0.1", "http://localhost.example", "http://[::2]", "nonsense", "", "http://[::1"],
)  # fmt: skip
def test_addresses_of_others(url: str) -> None:
    assert not is_loopback(url)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({"HTTP_PROXY": "http://p"}, ALL),
        ({"all_proxy": "socks5://p", "NO_PROXY": ""}, ALL),
        ({"https_proxy": "p", "no_proxy": "intra.example, .corp"}, f"intra.example,.corp,{ALL}"),
        ({"HTTP_PROXY": "p", "NO_PROXY": "localhost,10.0.0.0/8"}, "localhost,10.0.0.0/8,127.0.0.1,::1"),
        ({"HTTP_PROXY": "p", "NO_PROXY": "*"}, None),
        ({"HTTP_PROXY": "p", "NO_PROXY": ALL, "no_proxy": ALL}, ALL),
        ({"HTTP_PROXY": ""}, None),  # none: the system's own proxies stay in force
        ({}, None),
    ],
)
def test_this_machine_is_added_to_what_no_proxy_names(before: dict[str, str], expected: str | None) -> None:
    environ = dict(before)
    bypass_proxy(environ)
    assert environ == ({**before, "NO_PROXY": expected, "no_proxy": expected} if expected else before)


def test_each_spelling_keeps_what_it_names() -> None:
    environ = {"http_proxy": "p", "no_proxy": "a", "NO_PROXY": "b"}
    bypass_proxy(environ)
    assert environ == {"http_proxy": "p", "no_proxy": f"a,{ALL}", "NO_PROXY": f"b,{ALL}"}


def test_python_goes_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"HTTP_PROXY": "http://p:1", "NO_PROXY": "intra.example"}
    bypass_proxy(environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    hosts = ("127.0.0.1", "localhost", "a.localhost", "intra.example", "pypi.org")
    assert [bool(urllib.request.proxy_bypass(host)) for host in hosts] == [True, True, True, True, False]
