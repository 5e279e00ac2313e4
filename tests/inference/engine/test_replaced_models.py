"""A model whose files change below a running process: weights, labels and digest are of one moment, always."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from inference.analysis import analyze
from inference.engine.changes import PARTLY_S, SERVES_ON_S, SETTLE_S, SPLIT_S, STILL_S
from inference.engine.pinned import PinnedModels
from inference.engine.registry import Registry
from inference.engine.weights import Weights, sha256_of
from inference.errors import BadModel, ModelReplaced, ModelUnavailable
from inference.routes import Route, Step
from tests.inference.engine.test_external_data import MANIFEST as EXTERNAL
from tests.inference.engine.test_external_data import net
from tests.inference.graphs import picture_input, save

MANIFEST = 'task = "image-classification"\nhead = "classifier"\nlabels = "labels.txt"\n{}[postprocess]\nparams = {{ activation = "none" }}\n'  # noqa: E501
ROUTE = Route("r", (Step("pets"),))
PPM = b"P6 8 8 255\n" + bytes(192)


def weights(folder: Path, says: int) -> Path:
    """A file that answers class number `says` of 2."""
    scores = np.full((1, 2), 0.02, np.float32)
    scores[0, says] = 0.98
    return save(folder / "model.onnx", picture_input("x", 8), {"scores": scores})


def pets(folder: Path, says: int, labels: str = "cat dog", more: str = "") -> Path:
    weights(folder, says)
    (folder / "labels.txt").write_text(labels.replace(" ", "\n"))
    (folder / "model.toml").write_text(MANIFEST.format(more))
    return folder


class World:
    """A registry with a clock of its own, over a folder with the model `pets`. Files are as old as they really are."""

    def __init__(self, root: Path, settle: bool = False, found: Path | None = None) -> None:
        self.now, self.root, self.patient = 0.0, root, False
        self.folder = root / "pets"
        self.registry = Registry(
            [root], weights=Weights([found] if found else []), settle=settle, clock=lambda: self.now, sleep=self.slept
        )

    def slept(self, seconds: float) -> None:
        """Without `patient`, files come in the meantime, as far as anybody can tell."""
        self.now += seconds if self.patient else 0.0

    def says(self) -> tuple[str, str]:
        """(what an upload that comes now is answered, the digest that its key is made of)."""
        models = PinnedModels(self.registry, ["pets"])
        answer = analyze(PPM, ROUTE, models, artifacts=False).result.steps[0].predictions
        return answer.names[0], models.digest("pets")  # type: ignore[union-attr]

    def later(self, seconds: float) -> World:
        self.now += seconds
        return self


def fresh(root: Path) -> tuple[str, str]:
    """What a process that starts now answers, and its digest."""
    return World(root).says()


@pytest.fixture
def world(tmp_path: Path) -> World:
    pets(tmp_path / "pets", 0)
    return World(tmp_path)


def test_what_is_in_memory_serves_under_its_own_digest_until_the_new_files_lie_still(world: World) -> None:
    old = world.says()
    weights(world.folder, 1)
    assert world.says() == world.later(PARTLY_S - 1).says() == old
    new = world.later(1).says()
    assert new == fresh(world.root) == ("dog", new[1]) and new[1] != old[1]


def test_weights_first_and_labels_after_a_stop_are_never_mixed(world: World) -> None:
    """Old weights say 0, "cat"; the new ones say 1 of other names. "dog" or "red" would be a mixture."""
    old = world.says()
    assert old[0] == "cat"
    seen = [world.says()]
    weights(world.folder, 1)
    seen += [world.says(), world.later(20).says()]
    (world.folder / "labels.txt").write_text("red\ngreen")
    seen += [world.says(), world.later(20).says()]
    (world.folder / "model.toml").write_text(MANIFEST.format('version = "2"\n'))
    seen += [world.says(), world.later(STILL_S - 1).says()]
    assert set(seen) == {old}
    assert world.later(1).says() == fresh(world.root) != old
    assert world.says()[0] == "green"


@pytest.mark.parametrize("first", ["labels.txt", "model.toml", "model.onnx"])
def test_deleted_and_uploaded_again_one_file_after_the_other(world: World, tmp_path_factory, first: str) -> None:  # type: ignore[no-untyped-def]
    old, new = world.says(), pets(tmp_path_factory.mktemp("new") / "pets", 1, "red green")
    names = sorted(os.listdir(new), key=lambda name: name != first)
    seen = []
    for name in names:
        (world.folder / name).unlink()
        seen.append(world.later(3).says())
    world.folder.rmdir()
    seen.append(world.later(3).says())
    for name in names:
        world.folder.mkdir(exist_ok=True)
        shutil.copy(new / name, world.folder)
        seen.append(world.later(3).says())
    assert set(seen) == {old}
    assert world.later(STILL_S).says() == fresh(world.root)
    assert world.says()[0] == "green" and not world.registry.trouble("pets")


def test_between_the_key_and_the_model_a_swap_is_planned_anew(world: World) -> None:
    world.says()
    planned = PinnedModels(world.registry, ["pets"])
    weights(world.folder, 1)
    world.says()
    assert planned.model("pets").digest == planned.digest("pets")  # not swapped yet
    world.later(PARTLY_S).says()
    with pytest.raises(ModelReplaced, match="model 'pets' was replaced meanwhile"):
        analyze(PPM, ROUTE, planned, artifacts=False)
    assert world.says()[0] == "dog"


def test_between_the_key_and_the_first_loading_a_swap_is_planned_anew(world: World) -> None:
    planned = PinnedModels(world.registry, ["pets"])
    weights(world.folder, 1)
    with pytest.raises(ModelReplaced):
        planned.model("pets")


def test_touched_or_put_back_it_is_the_same_model_and_stays_loaded(world: World, tmp_path: Path) -> None:
    old, model = world.says(), world.registry.model("pets")
    for name in os.listdir(world.folder):
        (world.folder / name).touch()
    assert world.says() == world.later(STILL_S).says() == old and world.registry.model("pets") is model
    world.folder.rename(tmp_path / "away")
    assert world.says() == old
    assert str(world.folder) in world.registry.trouble("pets")
    (tmp_path / "away").rename(world.folder)
    assert world.says() == old and world.registry.model("pets") is model and not world.registry.trouble("pets")


def test_a_folder_that_is_gone_serves_for_ten_minutes_and_is_said(world: World) -> None:
    old = world.says()
    shutil.rmtree(world.folder)
    assert world.says() == world.later(SERVES_ON_S - 1).says() == old
    assert "it is gone; put it back" in (said := world.registry.trouble("pets"))
    assert "what was loaded before serves on until " in said and " UTC, then its uploads wait" in said
    world.later(1)
    with pytest.raises(ModelUnavailable, match="it is gone; put it back, or take the model out of the routes"):
        world.says()
    pets(world.folder, 1)
    assert world.says()[0] == "dog" and not world.registry.trouble("pets")  # not in memory, so that it is read at once


def test_a_new_graph_waits_for_the_weights_beside_it(tmp_path: Path) -> None:
    """The data comes over a slow line. With the data of before the new graph would answer something of its own."""
    world = World(tmp_path)
    net(world.folder, (0.9, 0.1)).with_name("model.toml").write_text(EXTERNAL)
    old = world.says()
    graph = world.folder / "model.onnx"
    bias = onnx.load(graph, load_external_data=False)
    bias.graph.initializer[0].raw_data = np.full((1, 1), 9, np.float32).tobytes()  # "nought"
    onnx.save(bias, graph)
    assert world.says() == world.later(SPLIT_S - 1).says() == old
    (world.folder / "model.onnx.data").write_bytes(np.array([0.1, 0.9], np.float32).tobytes())
    assert world.says() == world.later(PARTLY_S - 1).says() == old
    assert world.later(1).says() == fresh(tmp_path) and world.says()[0] == "dog"
    graph.write_bytes(graph.read_bytes() + b"\x9a\x3f\x00")  # alone, it serves in the end (field 1011, unknown to all)
    assert world.later(PARTLY_S).says()[1] != fresh(tmp_path)[1] == world.later(SPLIT_S).says()[1]


@pytest.mark.parametrize("name", [".model.onnx.Ab3xYz", "model.onnx.tmp", "model.onnx.part"])
def test_weights_that_are_on_their_way_under_another_name_hold_up_the_labels(world: World, name: str) -> None:
    """As rsync, browsers and WinSCP bring them: complete files have their names only in the end."""
    old = world.says()
    (world.folder / "labels.txt").write_text("red\ngreen")
    assert world.says() == old
    new = weights(world.root.parent / "new", 1).read_bytes()
    for done in range(1, 6):
        (world.folder / name).write_bytes(new[: done * len(new) // 5])
        assert world.later(PARTLY_S - 1).says() == old
    (world.folder / name).replace(world.folder / "model.onnx")
    assert world.says() == world.later(PARTLY_S - 1).says() == old
    assert world.later(1).says() == fresh(world.root) and world.says()[0] == "green"


def test_a_model_that_comes_again_waits_for_the_labels_that_it_had(world: World) -> None:
    """Without them it could be used, too, and would say 0 or 1."""
    old = world.says()
    shutil.rmtree(world.folder)
    weights(world.folder, 1)
    (world.folder / "model.toml").write_text(MANIFEST.format("").replace('labels = "labels.txt"\n', ""))
    assert world.says() == world.later(PARTLY_S - 1).says() == old
    pets(world.folder, 1, "red green")
    assert world.says() == old
    assert world.later(STILL_S).says()[0] == "green"


def test_a_model_that_has_moved_serves_from_its_new_place_once_the_old_one_is_given_up(world: World) -> None:
    old = world.says()
    pets(world.root / "pets-2", 1, more='name = "pets"\n')
    shutil.rmtree(world.folder)
    assert world.says() == world.later(SERVES_ON_S - 1).says() == old
    assert world.later(1).says() == fresh(world.root) and world.says()[0] == "dog"
    assert world.later(SERVES_ON_S).says()[0] == "dog" and not world.registry.trouble("pets")


def test_a_model_that_moves_before_it_is_loaded_serves_from_its_new_place(world: World) -> None:
    assert world.registry.list()[0].root == world.folder
    pets(world.root / "pets-2", 1, more='name = "pets"\n')
    shutil.rmtree(world.folder)
    assert world.later(STILL_S).says() == fresh(world.root)


def test_a_folder_that_cannot_be_reached_serves_from_memory_and_is_said(world: World, tmp_path: Path) -> None:
    """As a share that does not answer, or rights that were taken; here a link that no file system follows."""
    old = world.says()
    world.folder.rename(tmp_path / "away")
    world.folder.symlink_to("x" * 300)
    pets(world.root / "pets-2", 1, more='name = "pets"\n')
    assert world.says() == world.later(SERVES_ON_S - 1).says() == old
    assert "it cannot be read now (File name too long); mend the share, the link" in world.registry.trouble("pets")
    with pytest.raises(ModelUnavailable, match="it cannot be read now"):
        world.later(1).says()
    world.folder.unlink()
    (tmp_path / "away").rename(world.folder)
    assert world.says() == old


@pytest.mark.parametrize("how", ["cut", "labels", "toml", "sha256"])
def test_new_files_that_cannot_be_used_leave_the_old_model_in_place_until_they_are_mended(
    world: World, how: str
) -> None:
    old = world.says()
    if how == "cut":
        (world.folder / "model.onnx").write_bytes(weights(world.folder, 1).read_bytes()[:100])
    elif how == "labels":
        (world.folder / "labels.txt").write_text("a\nb\nc")
    else:
        (world.folder / "model.toml").write_text("task = 3" if how == "toml" else MANIFEST.format('sha256 = "ab"\n'))
    assert world.says() == world.later(PARTLY_S).says() == world.later(10 * SERVES_ON_S).says() == old
    words = {
        "cut": "not a complete ONNX file",
        "labels": "2 classes, the label list 3",
        "toml": "'head' must be given",
        "sha256": "its sha256 is",
    }  # noqa: E501
    assert words[how] in (said := world.registry.trouble("pets")) and said.endswith("what was loaded before serves on")
    with pytest.raises(BadModel, match=words[how]):
        World(world.root).says()
    pets(world.folder, 1, "red green")
    assert world.says() == old
    assert world.later(PARTLY_S).says() == fresh(world.root) and world.says()[0] == "green"


def test_weights_that_were_found_by_their_hash_and_are_replaced(tmp_path: Path) -> None:
    """The manifest says which weights: others of that place are none of its, and what is in memory is."""
    found = tmp_path / "found"
    found.mkdir()
    weights(tmp_path / "x", 0).rename(found / "any.onnx")
    (tmp_path / "models/pets").mkdir(parents=True)
    (tmp_path / "models/pets/labels.txt").write_text("cat\ndog")
    sha256 = sha256_of(found / "any.onnx")
    (tmp_path / "models/pets/model.toml").write_text(MANIFEST.format(f'sha256 = "{sha256}"\n'))
    world = World(tmp_path / "models", found=found)
    old = world.says()
    assert old[0] == "cat"
    weights(tmp_path / "y", 1).replace(found / "any.onnx")
    assert world.says() == world.later(PARTLY_S).says() == old
    assert "no file in DROPSIGHT_WEIGHTS" in world.registry.trouble("pets")
    with pytest.raises(BadModel, match="no file in DROPSIGHT_WEIGHTS"):
        World(tmp_path / "models", found=found).says()
    weights(tmp_path / "y", 0).replace(found / "other.onnx")
    assert world.later(60).says() == old and not world.registry.trouble("pets")


def test_a_side_file_that_a_recogniser_reads_counts(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    weights(folder / "onnx", 0)
    (folder / "config.json").write_text(
        '{"architectures": ["ViTForImageClassification"], "id2label": {"0": "cat", "1": "dog"}}'
    )
    (folder / "preprocessor_config.json").write_text('{"do_resize": true, "size": {"height": 8, "width": 8}}')
    world = World(tmp_path)
    old = world.says()
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"cat"', '"Katze"'))
    assert world.says() == old
    assert world.later(PARTLY_S).says() == fresh(tmp_path)
    assert world.says()[0] == "Katze" and world.says()[1] != old[1]


def test_what_was_written_long_ago_serves_at_the_next_look(world: World) -> None:
    old = world.says()
    hour = time.time() - 3600
    for file in (weights(world.folder, 1), world.folder):
        os.utime(file, (hour, hour))
    assert world.says() == old  # its time was set back by a copy, which is a matter of now


def test_an_app_that_starts_while_files_come_waits_until_they_lie_still(tmp_path: Path) -> None:
    pets(tmp_path / "pets", 0)
    world = World(tmp_path, settle=True)
    with pytest.raises(ModelUnavailable, match="its files came a moment ago; they are used once they lie still"):
        world.says()
    assert world.later(SETTLE_S).says()[0] == "cat"
    patient = World(tmp_path, settle=True)
    patient.patient = True
    assert (patient.says()[0], patient.now) == ("cat", SETTLE_S)
    other = World(tmp_path, settle=True)
    other.registry.use([tmp_path], whole=[tmp_path])  # fetched by the app itself
    assert other.says()[0] == "cat"


def test_a_model_that_comes_or_is_mended_needs_no_new_process(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(BadModel, match="no model is called 'pets'"):
        world.says()
    pets(world.folder, 0, "one two three")
    with pytest.raises(BadModel, match="2 classes, the label list 3"):
        world.later(STILL_S).says()
    (world.folder / "model.toml").write_text("task = 3")
    with pytest.raises(BadModel, match="'head' must be given"):
        world.later(PARTLY_S).says()
    pets(world.folder, 0)
    assert world.later(STILL_S).says()[0] == "cat"


def test_many_threads_never_mix(world: World) -> None:
    """Each answer is of the weights that its digest names, while the files are replaced under them."""
    wanted = {fresh(world.root)}
    seen: set[tuple[str, str]] = set()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                seen.add(world.says())
            except ModelUnavailable:  # replaced between key and answer, or while it was first read
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for says in (1, 0, 1):
            weights(world.folder, says)
            wanted.add(fresh(world.root))
            world.later(PARTLY_S).says()
            world.later(PARTLY_S).says()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen <= wanted and len(wanted) == 2
