"""The default routes: the pack where it is installed, the starters for the rest, and nothing that cannot be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.defaults import GUESSES, PACK, STARTERS, load_routes
from inference.engine.catalog import load_catalog
from inference.engine.pull import pull
from inference.engine.registry import BUILT_IN, Registry
from inference.manifest import MANIFEST_FILE
from inference.results.words import _PACK, _STAND_INS
from inference.route_problems import problems_of
from inference.routes import Step
from inference.tables import to_toml

LITE = "pose-blazepose-lite-fp16"  # the network of the pack's pose model in another conversion


def default_steps(registry: Registry) -> tuple[Step, ...]:
    return load_routes(None, registry).named("default").steps


def names(steps: tuple[Step, ...]) -> list[str]:
    return [step.model for step in steps]


@pytest.fixture
def pack(shared: Path, tmp_path: Path) -> Path:
    """A folder with the four models; the pose model with other weights of the same network."""
    catalog, into = load_catalog(), tmp_path / "pack"
    for name in PACK.values():
        if name != PACK["pose-estimation"]:
            pull(catalog.named(name), into, [shared / "models"])
    pose = into / PACK["pose-estimation"]
    pose.mkdir()
    (pose / MANIFEST_FILE).write_text(to_toml(dict(catalog.named(pose.name).manifest)), "utf-8")
    (pose / "model.onnx").write_bytes((shared / "models" / LITE / "model.onnx").read_bytes())
    return into


def test_the_pack_is_what_the_catalog_recommends() -> None:
    assert {m.purpose: m.name for m in load_catalog().recommended()} == PACK
    assert set(PACK.values()) > _PACK  # without these the console says how to get them
    assert {*STARTERS.values(), "sketch"} == _STAND_INS


@pytest.mark.needs_shared
def test_videos_are_sampled_and_track_and_name_alone(pack: Path) -> None:
    route = load_routes(None, Registry([pack, BUILT_IN])).named("default")
    kept = [step.title for step in route.steps if step.title not in route.video_options.without]
    assert kept == [PACK["image-classification"], PACK["object-detection"]]
    assert 2 <= (route.video_options.fps or 0) <= 5


def test_videos_track_faces_where_there_is_no_other_detector() -> None:
    route = load_routes(None, Registry([BUILT_IN])).named("default")
    assert route.video_options.without == () and "faces" in names(route.steps)


def test_without_the_pack_the_starters_do_it_and_nobody_asks_for_feelings() -> None:
    assert names(default_steps(Registry([BUILT_IN]))) == ["classify", "faces"]


def test_without_research_models_the_default_route_does_what_is_left() -> None:
    assert names(default_steps(Registry([BUILT_IN], allow_research=False))) == ["sketch"]


def test_a_guess_is_given_below_the_score_that_is_sure() -> None:
    """Else a route's threshold would make guesses of what is sure, or leave no room for any."""
    catalog, registry = load_catalog(), Registry([BUILT_IN])
    for name, guess in GUESSES.items():
        starter = name in STARTERS.values()
        manifest = registry.entry(name).manifest if starter else catalog.named(name).full_manifest()
        assert manifest and guess < (manifest.postprocess.confidence_threshold or 0)


@pytest.mark.needs_shared
def test_the_pack_takes_the_place_of_the_starters(pack: Path) -> None:
    registry = Registry([pack, BUILT_IN])
    steps = default_steps(registry)
    assert names(steps) == list(PACK.values())
    assert [step.on for step in steps] == ["", "", "", "person"]
    assert problems_of(load_routes(None, registry), registry) == []


@pytest.mark.needs_shared
def test_without_its_detector_the_pose_model_is_left_out(pack: Path) -> None:
    (pack / PACK["object-detection"] / "model.onnx").unlink()
    assert names(default_steps(Registry([pack, BUILT_IN]))) == ["mobilenetv2-int8", "yunet-2023mar"]


def test_a_model_of_the_pack_that_cannot_be_loaded_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (PACK["face-detection"], PACK["object-detection"]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / MANIFEST_FILE).write_text(to_toml(dict(load_catalog().named(name).manifest)), "utf-8")
        (folder / "model.onnx").write_bytes(b"half a file")
    (tmp_path / PACK["image-classification"]).mkdir()
    (tmp_path / PACK["image-classification"] / MANIFEST_FILE).write_text("half a manifest = ")
    assert names(default_steps(Registry([tmp_path, BUILT_IN]))) == ["classify", "faces"]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 3
    for name in (PACK["face-detection"], PACK["object-detection"], PACK["image-classification"]):
        assert any(f"left out {name}: " in line for line in warnings)


def test_a_folder_called_like_a_starter_model_goes_to_it() -> None:
    routes = load_routes(None, Registry())
    for name, model in (("street/a.jpg", "street"), ("cells/b/c.png", "cells"), ("cartoon/d.jpg", "cartoon")):
        route = routes.match(name)
        assert route and [s.model for s in route.steps] == [model]
    other = routes.match("streets/a.jpg")
    assert other and other.name == "default"


def test_expressions_are_named_on_faces_in_the_folder_of_their_name() -> None:
    route = load_routes(None, Registry([BUILT_IN])).match("expression/a.jpg")
    assert route and [(step.model, step.on) for step in route.steps] == [("faces", ""), ("expression", "face")]


@pytest.mark.needs_shared
def test_the_folder_of_expressions_takes_the_face_detector_of_the_pack(pack: Path) -> None:
    route = load_routes(None, Registry([pack, BUILT_IN])).match("expression/a.jpg")
    assert route and names(route.steps) == ["yunet-2023mar", "expression"]
