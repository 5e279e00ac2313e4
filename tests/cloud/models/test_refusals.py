"""Refused versions: tried again when their files differ, said with a way on, and never a failure of the timer twice."""

from __future__ import annotations

import errno
import json
from typing import Any

import azure.functions as func
import pytest

from cloud.models import canary, deliveries
from cloud.models.model_entry import ModelEntry
from cloud.models.refusals import AlreadyRefused, refusals
from cloud.settings import Settings
from cloud.web import model_events, router
from inference.errors import BadModel, Transient
from tests.cloud.models.delivery_world import PATHS, Delivery, served

pytestmark = pytest.mark.slow
FRUIT = ModelEntry("fruit", "sketch")


def test_a_version_registered_while_its_files_arrive_is_tried_again_when_they_differ(
    delivery: Delivery, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.entries(FRUIT)
    folder = delivery.make("7")
    weights = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").unlink()
    where = delivery.put("fruit", "7", folder)
    with pytest.raises(BadModel, match="fruit:7 is refused"):
        deliveries.deliver_all()
    deliveries.deliver_all()  # the timer does not fail each time for a refusal that is only remembered
    again = "`python -m cloud models deliver sketch --again`"
    assert again in refusals(delivery.storage, FRUIT)[0]
    assert delivery.command("deliver", "sketch") == 1 and again in capsys.readouterr().err
    delivery.storage.write("azureml", f"{where}/model.onnx", weights)
    assert delivery.command("deliver", "sketch") == 0
    assert served(delivery.storage) and refusals(delivery.storage, FRUIT) == []


def test_a_place_that_is_not_there_is_looked_for_again_when_it_is(delivery: Delivery) -> None:
    delivery.registered.register("fruit", f"{PATHS}x", "7")
    found = delivery.service.models["fruit", "7"]["properties"]
    found["modelUri"] = "https://elsewhere/x"
    for kind in (BadModel, AlreadyRefused):
        with pytest.raises(kind, match="is not in a datastore"):
            delivery.deliver(FRUIT)
    delivery.upload(delivery.make("7"), "x")
    found["modelUri"] = f"{PATHS}x"
    assert "released" in delivery.deliver(FRUIT)


@pytest.mark.parametrize(
    ("error", "remembered"),
    [
        (ValueError("shapes"), True),
        (FileExistsError(errno.EEXIST, "is there"), True),
        (OSError(errno.ENOSPC, "full"), False),
    ],
)
def test_whatever_goes_wrong_with_one_entry_ends_no_other_and_in_no_traceback(
    error: Exception, remembered: bool, delivery: Delivery, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.entries(FRUIT, ModelEntry("veg"))
    delivery.put("fruit", "1", delivery.make("1"))
    delivery.put("veg", "1", delivery.make("1", "veg"))
    real = canary.verify

    def verify(root: Any, name: str, samples: Any = None) -> Any:
        if name == "sketch":
            raise error
        return real(root, name, samples)

    delivery.patch.setattr(canary, "verify", verify)
    with pytest.raises(BadModel, match=type(error).__name__):
        deliveries.deliver_all()
    assert served(delivery.storage, "veg")
    assert bool(refusals(delivery.storage, FRUIT)) is remembered
    assert delivery.command("deliver", "sketch", "--again") == 1
    said = capsys.readouterr().err
    assert type(error).__name__ in said and "Traceback" not in said


def test_a_file_that_changes_while_it_is_fetched_is_no_refusal(delivery: Delivery) -> None:
    where = delivery.put("fruit", "1", delivery.make("1"))
    container, path = delivery.registered._place(delivery.registered.get("fruit"))
    real = container.download_blob

    def download(name: str, **options: Any) -> Any:
        delivery.storage.write("azureml", f"{where}/model.toml", b"another")
        return real(name, **options)

    delivery.patch.setattr(container, "download_blob", download)
    delivery.patch.setattr(delivery.registered, "_place", lambda _: (container, path))
    with pytest.raises(Transient, match="changed while it was fetched"):
        delivery.deliver(FRUIT)
    assert refusals(delivery.storage, FRUIT) == []


def post(body: bytes) -> func.HttpResponse:
    request = func.HttpRequest("POST", "/api/models/events", headers={"x-model-events-key": "k"}, body=body)
    return router.answer("model_registered", request)


def test_whatever_an_event_holds_is_answered_and_the_other_events_go_on(delivery: Delivery) -> None:
    delivery.entries(FRUIT, ModelEntry("bad", "other"))
    delivery.patch.setattr(model_events, "current", lambda: Settings(model_events_key="k"))
    delivery.put("fruit", "1", delivery.make("1"))
    kind = "Microsoft.MachineLearningServices.ModelRegistered"
    events: list[Any] = [
        None,
        3,
        "x",
        [],
        {"eventType": [1], "data": 5},
        {"eventType": kind, "data": {"ModelName": {}}},
    ]
    events += [{"eventType": kind, "data": {"ModelName": name}} for name in ("bad", "fruit")]
    answer = post(json.dumps(events).encode())
    assert answer.status_code == 202 and b"no model 'bad'" in answer.get_body()
    assert served(delivery.storage)
    for body in (b"", b"\xff\xfe", b"[" * 100_000, b'[{"eventType": '):
        assert post(body).status_code == 400
    delivery.patch.setattr(deliveries, "pipelines", lambda: 1 / 0)
    assert post(json.dumps(events).encode()).status_code == 202
