"""While INTAKE is paused no upload is begun, and none is lost: the first sweep afterwards takes what came meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloud.__main__ import main
from cloud.settings import RESULTS, STATE, UPLOADS, BadSettings, Settings, current
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.sweep import sweep
from cloud.uploads.sweep_mark import MARK
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import Calls, document, drop, jpeg, names, receipt
from tests.cloud.uploads.test_sweep import results

Make = Callable[..., UploadWorker]


@pytest.mark.parametrize("word", ["paused", "Paused", "pause", "off", "false", "0", "no"])
def test_words_that_pause(word: str) -> None:
    assert Settings.read({"INTAKE": word}).intake == "paused"


@pytest.mark.parametrize("word", ["", "on", "ON", "true", "1", "yes"])
def test_words_that_do_not(word: str) -> None:
    assert Settings.read({"INTAKE": word}).intake == "on"


def test_another_word_stops_all_rather_than_nothing() -> None:
    with pytest.raises(BadSettings, match="INTAKE='pasued': expected on, paused"):
        Settings.read({"INTAKE": "pasued"})


def test_a_delivery_succeeds_and_only_the_first_costs_a_call_and_a_sweep_afterwards_takes_it(
    make_worker: Make, calls: Calls, analyses: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    paused = make_worker(intake="paused")
    event = drop(paused, "a.jpg", jpeg())
    calls.seen.clear()
    assert [paused.handle(event), paused.handle(event)] == [Outcome("waiting")] * 2
    assert len(calls) == 1  # the mark
    assert "a.jpg: INTAKE is paused" in caplog.text
    assert (names(paused, STATE), analyses) == ([MARK], [])
    drop(paused, "b.jpg", jpeg(1))  # of which no event was delivered
    assert sweep(make_worker(), 60).processed == 2
    assert results(paused) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("by", ["a sweep", "a delivery"])  # a pause may end before there is a sweep
def test_a_pause_does_nothing_but_forget_the_mark(make_worker: Make, analyses: list[str], by: str) -> None:
    # A sweep was cut off before the pause, at m.jpg; what came during the pause lies before that.
    paused = make_worker(intake="paused")
    event = drop(paused, "a.jpg", jpeg())
    drop(paused, "m.jpg", jpeg(1))
    page = next(paused.storage.pages(UPLOADS, size=1))
    paused.storage.write_json(STATE, MARK, {"uploads": page.next_token, "receipts": None})
    if by == "a sweep":
        assert str(sweep(paused, 60)).startswith("paused (INTAKE is paused: uploads wait")
    else:
        paused.handle(event)
    assert (names(paused, STATE), analyses) == ([MARK], [])
    assert sweep(make_worker(), 60).processed == 2


def test_an_upload_replaced_during_the_pause_is_analysed_as_it_is_then(make_worker: Make) -> None:
    on, paused = make_worker(), make_worker(intake="paused")
    assert on.handle(drop(on, "a.jpg", jpeg())).status == "done"
    assert paused.handle(drop(paused, "a.jpg", jpeg(1))).status == "waiting"
    upload = on.storage.head(UPLOADS, "a.jpg")
    assert sweep(on, 60).processed == 1
    assert upload and document(on, RESULTS, "a.jpg/result.json")["source"]["etag"] == upload.etag


@pytest.mark.slow
@pytest.mark.parametrize("delivered", [True, False], ids=["delivered", "not delivered"])
@pytest.mark.parametrize("first", ["sidecar", "photo"])
def test_a_sidecar_of_the_pause_holds_from_the_first_analysis_on(
    make_worker: Make, analyses: list[str], first: str, delivered: bool
) -> None:
    paused = make_worker(intake="paused")
    files = [("a.jpg.route.toml", b'route = "classify"'), ("a.jpg", jpeg())]
    for name, content in files if first == "sidecar" else reversed(files):
        event = drop(paused, name, content)
        assert not delivered or paused.handle(event) == Outcome("waiting")
    # Names between the two do not part them, as they are in one page.
    drop(paused, "a.jpg-2", b"")
    sweep(make_worker(max_concurrent=1), 60)
    assert analyses == ["a.jpg"]
    assert document(paused, RESULTS, "a.jpg/result.json")["route"] == "classify"
    assert sweep(make_worker(), 60).unfinished == 0


def test_a_sidecar_for_a_finished_upload_waits_too(make_worker: Make, analyses: list[str]) -> None:
    on, paused = make_worker(), make_worker(intake="paused")
    on.handle(drop(on, "a.jpg", jpeg()))
    assert paused.handle(drop(paused, "a.jpg.route.toml", b'route = "classify"')).status == "waiting"
    assert receipt(on, "a.jpg").override == 'route = "classify"'
    sweep(on, 60)
    assert document(on, RESULTS, "a.jpg/result.json")["route"] == "classify"
    assert analyses == ["a.jpg", "a.jpg"]


def test_a_name_that_leads_elsewhere_is_not_followed_by_the_pause(make_worker: Make, calls: Calls) -> None:
    paused = make_worker(intake="paused")
    calls.seen.clear()
    assert paused.handle(BlobEvent(UPLOADS, "../models/a.jpg.route.toml")) == Outcome("waiting")
    assert len(calls) == 1  # the mark


def test_replay_is_refused_but_for_its_list(
    make_worker: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paused = make_worker(intake="paused")
    drop(paused, "a.jpg", jpeg())
    monkeypatch.setattr("cloud.instance.default_worker", lambda: paused)
    monkeypatch.setenv("INTAKE", "paused")
    current.cache_clear()
    try:
        assert main(["replay", "--here", "--all"]) == 2
        assert "INTAKE is paused: uploads wait" in capsys.readouterr().err
        assert main(["replay", "--here", "--all", "--dry-run"]) == 0
        assert capsys.readouterr().out == "a.jpg\n"
    finally:
        current.cache_clear()


def test_a_replay_whose_own_intake_is_on_says_that_the_app_is_paused(
    make_worker: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBSITE_SITE_NAME", "App")
    app, paused = make_worker(), make_worker(intake="paused")
    monkeypatch.delenv("WEBSITE_SITE_NAME")
    on = make_worker()
    drop(paused, "a.jpg", jpeg())
    monkeypatch.setattr("cloud.instance.default_worker", lambda: on)
    sweep(paused, 60)
    assert main(["replay", "--here"]) == 0
    assert "intake of the app 'app' was paused at 20" in capsys.readouterr().err.splitlines()[0]
    sweep(app, 60)
    main(["replay", "--here"])
    assert "paused" not in capsys.readouterr().err
