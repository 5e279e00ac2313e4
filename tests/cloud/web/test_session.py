"""Sessions: what a key opens is what its cookie opens, for a while, for this app's own pages only."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import azure.functions as func
import pytest
from azure.storage.blob import BlobServiceClient

from cloud.settings import STATE, current
from cloud.storage.containers import Storage
from cloud.web import session
from cloud.web.own_address import own_address, prefix_of
from cloud.web.problems import Forbidden
from cloud.web.rights import rights_of_key
from cloud.web.session import Attempts, TooManyAttempts, check_origin, session_of
from cloud.web.signing import SECRET, Signer
from inference.errors import NotReady, ServiceBusy
from tests.cloud.helpers import Calls
from tests.cloud.web.browsing import ALL, Site, morsel_of
from tests.cloud.web.conftest import StartSite

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


def asked(url: str, method: str = "POST", **headers: str) -> func.HttpRequest:
    """A request; in names of headers _ stands for -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return func.HttpRequest(method=method, url=url, headers=sent, params={}, route_params={}, body=b"")


@pytest.mark.parametrize(
    ("key", "rights"),
    [("read", ["read"]), ("contribute", ["contribute"]), ("operate_actions", ["operate_actions"]), ("host", ALL)],
)
def test_a_session_has_exactly_the_rights_that_the_key_opens(site: Site, key: str, rights: list[str]) -> None:
    assert site.whoami(site.signed_in(key)) == {"rights": rights, "signed_in": True, "asks_key": True}


def test_the_whole_apps_own_functions_say_what_a_key_opens(start_site: StartSite) -> None:
    site = start_site("--enable-auth", app=ROOT, SWEEP_SCHEDULE="0 0 0 1 1 *")
    cookies = {key: site.signed_in(key) for key in (*ALL, "host")}
    rights = {key: cookie.partition("=")[2].split(".")[0].split("~") for key, cookie in cookies.items()}
    assert rights == {**{key: [key] for key in ALL}, "host": ALL}
    status = {key: site.ask("GET", "api/media/uploads/a.jpg", headers={"Cookie": cookies[key]}).status for key in ALL}
    assert status == {"contribute": 403, "operate": 403, "operate_actions": 403, "read": 404}


def test_a_second_key_adds_its_rights_and_signing_out_ends_all(site: Site) -> None:
    first = site.signed_in("read")
    both = site.signed_in("operate", first)
    assert site.whoami(both)["rights"] == ["operate", "read"]
    out = site.post({"action": "sign-out"}, both)
    assert (out.status, out.headers["Location"]) == (303, "gallery/")
    assert (morsel_of(out).value, morsel_of(out)["max-age"]) == ("", "0")


def test_without_a_session_nobody_may_do_anything_where_keys_are_asked(site: Site) -> None:
    assert site.whoami() == {"rights": [], "signed_in": False, "asks_key": True}


@pytest.mark.parametrize("key", ["wrong", "", "x\r\nx-functions-key: y", "schlüssel", "k" * 600])
def test_a_wrong_key_leads_back_to_the_page_with_no_cookie(site: Site, key: str) -> None:
    answer = site.post({"key": key, "next": "gallery/?state=failed"})
    assert (answer.status, answer.headers["Set-Cookie"]) == (303, None)
    assert unquote(answer.headers["Location"]) == "gallery/?refused=1&next=gallery/?state=failed"


def test_the_cookie_is_for_this_host_its_pages_and_eight_hours(site: Site) -> None:
    found = morsel_of(site.post({"key": site.key("read")}))
    assert (found["path"], found["httponly"], found["samesite"], found["max-age"]) == ("/", True, "Strict", "28800")
    assert found["domain"] == "" and not found["secure"]  # http, on the machine itself


@pytest.mark.parametrize(
    ("following", "leads"),
    [
        ("gallery/result/a%20b.jpg?state=done", "gallery/result/a%20b.jpg?state=done"),
        ("gallery", "gallery"),
        ("https://elsewhere.example/gallery", "gallery/"),
        ("//elsewhere.example", "gallery/"),
        ("gallery/../../elsewhere", "gallery/"),
        ("galleryx", "gallery/"),
        ("gallery/result/ä.jpg", "gallery/"),
        ("gallery/\\elsewhere", "gallery/"),
        ("gallery/\r\nSet-Cookie: a=b", "gallery/"),
    ],
)
def test_signing_in_leads_on_to_a_page_of_ours_only(site: Site, following: str, leads: str) -> None:
    answer = site.post({"key": site.key("read"), "next": following})
    assert (answer.status, answer.headers["Location"]) == (303, leads)


def test_what_was_changed_in_a_cookie_makes_it_worth_nothing(site: Site) -> None:
    rights, until, signature = site.signed_in("read").partition("=")[2].split(".")
    forged = [
        f"contribute~operate~operate_actions~read.{until}.{signature}",
        f"{rights}.{int(until) + 1}.{signature}",
        f"{rights}.{until}.{signature[:-2]}AA",
        f"{rights}.{until}.",
        f"{rights}.{until}",
        "",
        "." * 5,
        f"{rights}.{'9' * 5000}.{signature}",
    ]
    assert [site.whoami(f"dropsight={value}")["rights"] for value in forged] == [[]] * len(forged)
    assert site.whoami(f"a=b; dropsight={rights}.{until}.{signature}; c=d")["rights"] == ["read"]


def test_a_cookie_ends_by_what_it_says_and_what_is_signed_for_media_is_no_session(site: Site) -> None:
    signer = Signer(Storage(site.store.blobs))
    texts = [f"read.{int(time.time()) - 1}", f"read.{int(time.time()) + 60}"]
    cookies = [f"dropsight={text}.{signer.sign('session', text)}" for text in texts]
    assert [site.whoami(cookie)["rights"] for cookie in cookies] == [[], ["read"]]
    assert site.whoami(f"dropsight={texts[1]}.{signer.sign('media', texts[1])}")["rights"] == []


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({"Origin": "OWN"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),  # a page without a referrer says no origin
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "OWN"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "OWN"}, False),
        ({"Sec-Fetch-Site": "none", "Origin": "OWN"}, False),
        ({"Origin": "http://127.0.0.1:1"}, False),
    ],
)
def test_changes_by_cookie_are_made_by_pages_of_this_app_only(headers: dict[str, str], is_own: bool) -> None:
    own = "http://127.0.0.1:7071"
    sent = {name: own if value == "OWN" else value for name, value in headers.items()}
    request = func.HttpRequest(method="POST", url=f"{own}/api/gallery/", headers=sent, body=b"")
    if is_own:
        check_origin(request)
    else:
        with pytest.raises(Forbidden, match="expected a page of this app"):
            check_origin(request)


def test_nobody_signs_others_in_from_another_site(site: Site) -> None:
    answer = site.post({"key": site.key("read")}, headers={"Origin": "http://127.0.0.1:1"})
    assert (answer.status, answer.headers["Set-Cookie"]) == (403, None)


def test_where_the_host_asks_for_no_key_everybody_has_all_rights_under_any_prefix(start_site: StartSite) -> None:
    site = start_site(AzureFunctionsJobHost__extensions__http__routePrefix="v2/x")
    everybody = {"rights": ALL, "signed_in": False, "asks_key": False}
    assert site.whoami(path="v2/x/gallery/a/session/b") == everybody


class _Listener(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.keys.append(self.headers["x-functions-key"])  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def listener() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server that opens everything, and keeps the keys that it is sent."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Listener)
    server.keys = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_key_is_never_sent_to_the_host_that_a_request_names(
    site: Site, listener: http.server.ThreadingHTTPServer
) -> None:
    named = f"127.0.0.1:{listener.server_address[1]}"
    answer = site.post({"key": "guessed"}, headers={"Host": named, "Origin": f"http://{named}"})
    assert (answer.status, answer.headers["Set-Cookie"]) == (303, None)
    assert "refused=1" in answer.headers["Location"]
    assert listener.keys == []  # type: ignore[attr-defined]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.delenv("WEBSITE_HOSTNAME", raising=False)
    monkeypatch.delenv("APP_URL", raising=False)
    current.cache_clear()
    yield monkeypatch
    current.cache_clear()


def test_what_answers_at_the_apps_address_and_is_not_the_app_opens_nothing(
    settings: pytest.MonkeyPatch, listener: http.server.ThreadingHTTPServer
) -> None:
    settings.setenv("APP_URL", f"http://127.0.0.1:{listener.server_address[1]}")
    with pytest.raises(ServiceBusy, match="answered 204, and no right") as refused:
        rights_of_key(asked("https://app.example/v2/session"), "k")
    assert "set APP_URL" in str(refused.value) and listener.keys == ["k"] * 4  # type: ignore[attr-defined]
    settings.setenv("APP_URL", "http://127.0.0.1:1")  # where nobody listens
    current.cache_clear()
    with pytest.raises(ServiceBusy, match="ConnectionRefusedError"):
        rights_of_key(asked("https://app.example/api/session"), "k")


@pytest.mark.parametrize(
    ("setting", "host", "url", "address"),
    [
        ("", "app.azurewebsites.net", "https://evil.example/api/session", "https://app.azurewebsites.net/api"),
        ("", "localhost:7071", "http://evil.example/api/session", "http://localhost:7071/api"),
        ("", "", "http://127.0.0.1:7071/session", "http://127.0.0.1:7071"),
        ("https://own.example/", "app.azurewebsites.net", "https://x.example/api/session", "https://own.example/api"),
    ],
)
def test_the_apps_own_address_is_what_its_settings_say(
    settings: pytest.MonkeyPatch, setting: str, host: str, url: str, address: str
) -> None:
    settings.setenv("APP_URL", setting)
    settings.setenv("WEBSITE_HOSTNAME", host)
    assert own_address(asked(url)) == address


@pytest.mark.parametrize("setting", ["", "own.example", "https://own.example/path", "https://u:p@own.example"])
def test_an_app_that_does_not_know_its_address_says_which_setting_helps(
    settings: pytest.MonkeyPatch, setting: str
) -> None:
    settings.setenv("APP_URL", setting)
    with pytest.raises(NotReady, match="APP_URL"):
        own_address(asked("https://anything.example/api/session"))


def test_in_azure_a_key_is_asked_whatever_the_request_says(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("WEBSITE_HOSTNAME", "app.azurewebsites.net")
    assert session_of(asked("http://localhost/api/gallery/")) == session.Session(frozenset())


@pytest.mark.parametrize(
    ("url", "origin", "is_own"),
    [
        ("https://app.example/api/session", "https://app.example", True),
        ("http://app.example/api/session", "https://app.example", True),  # TLS ends before the app
        ("https://app.example:443/api/session", "https://app.example", True),
        ("https://app.example/api/session", "http://app.example", False),
        ("https://app.example/api/session", "https://app.example:444", False),
        ("https://app.example/api/session", "https://app.example.evil.example", False),
        ("https://inner.example/api/session", "https://own.example", True),  # behind a proxy, by APP_URL
        ("https://app.example/api/session", "https://app.example:99999", False),
    ],
)
def test_which_origins_are_our_own(settings: pytest.MonkeyPatch, url: str, origin: str, is_own: bool) -> None:
    settings.setenv("APP_URL", "https://own.example")
    if is_own:
        check_origin(asked(url, Origin=origin))
    else:
        with pytest.raises(Forbidden, match="expected a page of this app"):
            check_origin(asked(url, Origin=origin))


def test_by_https_the_cookie_is_for_https_and_this_very_host_only(account: str, settings: pytest.MonkeyPatch) -> None:
    settings.setattr(session, "rights_of_key", lambda *_: frozenset({"read"}))
    form = func.HttpRequest(
        method="POST", url="https://app.example/api/session", headers={"Origin": "https://app.example"}, body=b"key=k"
    )
    text = session.sign_in(form).headers["Set-Cookie"]
    assert text.startswith("__Host-dropsight=read.") and "; Secure" in text and "; Path=/" in text
    name, value = text.split(";")[0].split("=", 1)
    assert session_of(asked("https://app.example/api/gallery/", Cookie=f"{name}={value}")).rights == {"read"}
    # A cookie that a neighbour could have set is none of ours.
    assert not session_of(asked("https://app.example/api/gallery/", Cookie=f"dropsight={value}")).rights


def test_after_many_refused_keys_no_more_are_tried_for_a_while() -> None:
    attempts = Attempts()
    for _ in range(20):
        attempts.check()
        attempts.note()
    with pytest.raises(TooManyAttempts, match="20 keys were refused") as refused:
        attempts.check()
    assert 0 < int(refused.value.headers["Retry-After"]) <= 61 and refused.value.status == 429


def test_what_stands_before_a_path_is_the_hosts_prefix() -> None:
    urls = ("https://h/api/gallery/a/gallery/b", "https://h/gallery/", "https://h/a/b/media/x/session")
    assert [prefix_of(asked(url)) for url in urls] == ["/api", "", "/a/b"]


def test_the_secret_is_made_once_and_a_new_one_ends_what_the_old_one_signed(account: str) -> None:
    storage = Storage(BlobServiceClient.from_connection_string(account))
    first, second = Signer(storage), Signer(storage)
    with ThreadPoolExecutor(4) as pool:
        signed = set(pool.map(lambda signer: signer.sign("session", "a"), [first, second] * 8))
    assert len(signed) == 1 and len(storage.read(STATE, SECRET)[0]) == 32  # type: ignore[index]
    (signature,) = signed
    assert first.verify("session", "a", signature) and not first.verify("session", "b", signature)
    storage.delete(STATE, SECRET)
    third = Signer(storage)
    anew = third.sign("session", "a")
    assert anew != signature and not third.verify("session", "a", signature)
    second._read_at -= 60  # a minute later
    assert second.verify("session", "a", anew) and not second.verify("session", "a", signature)


def test_a_signature_that_does_not_fit_has_the_secret_read_again_but_not_each_time(account: str, calls: Calls) -> None:
    storage = Storage(BlobServiceClient.from_connection_string(account))
    first = Signer(storage)
    first.sign("session", "a")
    storage.delete(STATE, SECRET)
    signature = Signer(storage).sign("session", "a")
    assert first.verify("session", "a", signature)
    before = len(calls)
    assert not any(first.verify("session", "b", f"made up {number}") for number in range(10))
    assert len(calls) == before


def test_a_secret_that_is_none_is_named(account: str) -> None:
    storage = Storage(BlobServiceClient.from_connection_string(account))
    storage.write(STATE, SECRET, b"short")
    with pytest.raises(NotReady, match="has 5 bytes, expected the 32"):
        Signer(storage).sign("session", "a")
