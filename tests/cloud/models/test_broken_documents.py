"""Documents that cannot be read, or point to what is not there: they are named, and everything else goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.models import deliveries
from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import Release
from cloud.models.releases import release
from cloud.models.serving_models import ServingModels
from cloud.models.snapshots import contents
from inference.engine.registry import Registry
from tests.cloud.models.delivery_world import Delivery, served, sizes

pytestmark = pytest.mark.slow
FRUIT, VEG = ModelEntry("fruit", "sketch"), ModelEntry("veg")
BROKEN = {
    "cut off": b'{"version": "7", "mod',
    "empty object": b"{}",
    "list": b"[]",
    "wrong types": b'{"version": {}, "model": 1.5, "why": [], "digest": [], "at": {}}',
    "no utf-8": b"\xff\xfe{",
}


@pytest.fixture
def process(delivery: Delivery) -> Callable[[], ServingModels]:
    """Makes processes of the app that have looked once."""

    def made() -> ServingModels:
        models = ServingModels(delivery.storage, Registry([]), 0)
        models.refresh()
        return models

    return made


PATHS = (
    "models/sketch/serving.json",
    "state/models/good/sketch.json",
    "state/models/refused/sketch.json",
    "state/models/delivery/sketch/8.json",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_document_that_cannot_be_read_is_named_and_everything_goes_on(
    path: str, delivery: Delivery, process: Callable[[], ServingModels], capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.entries(FRUIT, VEG)
    for version in ("6", "7"):
        release(delivery.storage, "sketch", Release(version, "fruit"), delivery.make(version))
        release(delivery.storage, "veg", Release(version, "veg"), delivery.make(version, "veg"))
    running = process()
    write(delivery, path, BROKEN["cut off"])
    running.refresh()
    assert running.versions == process().versions == {"sketch": "7", "veg": "7"}
    assert delivery.command("list") == 0
    said = capsys.readouterr()
    named = said.out + said.err
    health = deliveries.refused([FRUIT, VEG])
    if "good" in path:  # read by processes alone, which write it anew
        assert b'"digest"' in read(delivery, path)
    else:
        assert path in named and named.count("cannot be read") == 1
    assert [path in line for line in health] == [True] * ("refused" not in path and "good" not in path)
    assert delivery.command("rollback", "veg") == 0
    assert delivery.command("rollback", "sketch") == ("serving" in path)
    delivery.put("fruit", "8", new := delivery.make("the eighth"))
    assert delivery.command("deliver", "sketch") == ("serving" in path)
    assert delivery.command("deliver", "sketch", "--again") == 0
    assert served(delivery.storage) == sizes(new) and deliveries.refused([FRUIT, VEG]) == []
    assert "Traceback" not in capsys.readouterr().err


def test_every_document_is_checked_as_it_is_read(
    delivery: Delivery, process: Callable[[], ServingModels], capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.entries(FRUIT)
    release(delivery.storage, "sketch", Release("7"), delivery.make("7"))
    process()
    for path in PATHS:
        before = read(delivery, path)
        for content in BROKEN.values():
            write(delivery, path, content)
            assert process().versions == {"sketch": "7"}
            assert delivery.command("list") == 0
            assert "good" in path or f"{path} cannot be read" in capsys.readouterr().out, content
        write(delivery, path, before) if before else delivery.storage.delete(*path.split("/", 1))
    document = delivery.pointer().to_json() | {"more": {"x": 1}}
    delivery.storage.write_json("models", "sketch/serving.json", document)  # of a later release of the app
    assert process().refused == {}


def write(delivery: Delivery, path: str, content: bytes) -> None:
    container, _, name = path.partition("/")
    delivery.storage.write(container, name, content)


def read(delivery: Delivery, path: str) -> bytes:
    container, _, name = path.partition("/")
    return (delivery.storage.read(container, name) or (b"",))[0]


def test_a_pointer_to_a_version_that_is_not_there_is_a_problem_and_what_served_serves_on(
    delivery: Delivery, process: Callable[[], ServingModels], capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.entries(FRUIT, VEG)
    delivery.put("fruit", "7", delivery.make("7"))
    delivery.deliver(FRUIT)
    release(delivery.storage, "veg", Release("7", "veg"), delivery.make("7", "veg"))
    running = process()
    delivery.storage.write_json("models", "sketch/serving.json", {"version": "70"})
    running.refresh()
    for models in (running, process()):
        assert models.versions == {"sketch": "7", "veg": "7"}
        assert "says version 70, but sketch/versions/70/ holds no model" in models.refused["sketch"][1]
    assert delivery.command("list") == 0
    assert "refused     sketch" in (said := capsys.readouterr().out) and said.count("version 70") == 1
    (line,) = deliveries.refused([FRUIT, VEG])
    assert "--to VERSION` takes one of 7" in line
    assert delivery.command("rollback", "sketch", "--to", "7") == 0
    running.refresh()
    assert running.refused == {} and deliveries.refused([FRUIT]) == []


def test_a_pointer_to_the_newest_version_whose_files_are_gone_is_mended_by_the_next_delivery(
    delivery: Delivery,
) -> None:
    delivery.put("fruit", "7", folder := delivery.make("7"))
    delivery.deliver(FRUIT)
    remove(delivery, "sketch/versions/7/")
    assert "released" in delivery.deliver(FRUIT)
    assert served(delivery.storage) == sizes(folder)


@pytest.mark.parametrize("harm", ["gone", "broken"])
def test_a_rollback_to_what_would_not_serve_is_refused_with_a_way_on(
    harm: str, delivery: Delivery, process: Callable[[], ServingModels], capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("6", "7", "8"):
        release(delivery.storage, "sketch", Release(version, "fruit"), delivery.make(version))
    delivery.entries(FRUIT)
    if harm == "gone":
        remove(delivery, "sketch/versions/7/")
    else:
        delivery.storage.write("models", "sketch/versions/7/model.onnx", b"version https://git-lfs")
    assert delivery.command("rollback", "sketch") == 1
    said = capsys.readouterr()
    assert "version 8 serves on; `python -m cloud models rollback sketch --to VERSION` takes one of 6;" in said.err
    assert said.out == "" and process().versions == {"sketch": "8"}
    assert (
        delivery.command("rollback", "sketch", "--to", "5") == delivery.command("rollback", "sketch", "--to", "8") == 1
    )
    assert delivery.command("rollback", "sketch", "--to", "6") == 0
    assert process().versions == {"sketch": "6"}
    assert [release.version for release in delivery.pointer().previous] == ["by hand"]
    assert "sketch: version 6 serves from now on; 8 is not brought back by itself" in capsys.readouterr().out


def test_a_refusal_that_cannot_be_written_down_does_not_keep_the_others_from_serving(
    delivery: Delivery, process: Callable[[], ServingModels], tmp_path: Path
) -> None:
    from inference.errors import StorageUnavailable

    release(delivery.storage, "bad", Release("1"), delivery.make("1", "another"))
    release(delivery.storage, "sketch", Release("1"), delivery.make("1"))
    real = delivery.storage.write_json

    def write_json(container: str, name: str, document: object, **options: object) -> str:
        if name.startswith("models/refused/"):
            raise StorageUnavailable("no")
        return real(container, name, document, **options)

    delivery.patch.setattr(delivery.storage, "write_json", write_json)
    models = process()
    assert models.versions == {"sketch": "1"} and set(models.refused) == {"bad"}


def remove(delivery: Delivery, prefix: str) -> None:
    for page in delivery.storage.pages("models", prefix):
        for blob in page.blobs:
            delivery.storage.delete("models", blob.name)
    assert not [s for s in contents(delivery.storage)[0] if s.prefix == prefix]
