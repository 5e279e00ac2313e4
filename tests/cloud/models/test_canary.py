"""min_agreement: what may serve beside what serves now, and that a gate that cannot measure is closed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient
from numpy.typing import NDArray
from PIL import Image

from cloud.azureml.azureml_client import AzureML
from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import read_pointer
from cloud.models.registered_models import Registered, deliver
from cloud.models.releases import rollback
from cloud.storage.containers import Storage
from inference.errors import BadModel, ServiceBusy
from tests.inference.graphs import save
from tests.inference.video.test_actions import brightness_model

pytestmark = pytest.mark.slow
GATED = ModelEntry("look", min_agreement=0.8)
SIDE = 32  # of the sample, and of the input of every model here

SEGMENT = 'task = "image-segmentation"\nhead = "semantic"\nlabels = ["road", "sky"]\n'
SEGMENT_BACK = SEGMENT.replace('["road", "sky"]', '["sky", "road"]')
CATS = 'task = "image-segmentation"\nhead = "semantic"\nlabels = ["none", "cat"]\npostprocess = { background = 0 }\n'
POSE = 'task = "keypoint-detection"\nhead = "movenet"\n'
VECTOR = 'task = "image-feature-extraction"\nhead = "embedding"\n'
PAINT = 'task = "image-to-image"\nhead = "image"\n'
NAMES = 'task = "image-classification"\nhead = "classifier"\nlabels = ["cat", "dog"]\n'


def halves(rows: int) -> NDArray[Any]:
    """Scores [1, 2, h, w]: class 0 in the upper rows, class 1 below."""
    lower = np.arange(SIDE)[:, None] >= rows
    return np.stack([~lower, lower])[None].repeat(SIDE, axis=3).astype(np.float32)


def person(raised: float = 0.0) -> NDArray[Any]:
    """[1, 1, 17, 3]: keypoints on a diagonal in 0..1 of the input, every second one raised."""
    points = np.full((1, 1, 17, 3), 0.9, np.float32)
    points[..., 0] = points[..., 1] = np.linspace(0.1, 0.9, 17)
    points[0, 0, 1:-1:2, 0] -= raised
    return points


def painted(stripes: bool) -> NDArray[Any]:
    image = np.zeros((1, 3, SIDE, SIDE), np.float32)
    image[..., :: 2 if stripes else 1] = 1
    return image


@pytest.fixture
def storage(storage_account: str) -> Storage:
    made = Storage(BlobServiceClient.from_connection_string(storage_account))
    made.ensure_containers("models", "azureml")
    return made


@pytest.fixture
def bring(
    tmp_path: Path, storage: Storage, storage_account: str, aml: AzureML
) -> Callable[[str, Callable[[Path], Any], str], None]:
    """Registers a version of the model `look`: (manifest, what writes its file, version)."""
    account = BlobServiceClient.from_connection_string(storage_account)

    def container(datastore: Mapping[str, Any]) -> ContainerClient:
        return account.get_container_client(datastore["containerName"])

    def made(manifest: str, write: Callable[[Path], Any], version: str) -> None:
        folder = tmp_path / version
        folder.mkdir()
        write(folder / "model.onnx")
        (folder / "model.toml").write_text(f'name = "look"\nversion = "{version}"\n{manifest}')
        for path in folder.iterdir():
            storage.write("azureml", f"{version}/look/{path.name}", path)
        registered.register("look", f"azureml://datastores/workspaceblobstore/paths/{version}/look", version)

    registered = Registered(aml, container)
    made.registered = registered  # type: ignore[attr-defined]
    return made


Bring = Callable[[str, Callable[[Path], Any], str], None]


def answering(output: NDArray[Any]) -> Callable[[Path], Any]:
    """Writes a model that answers this whatever it sees."""
    return lambda path: save(path, {"x": ("float32", [1, 3, SIDE, SIDE])}, {"y": output})


def delivered(storage: Storage, bring: Bring, entry: ModelEntry = GATED, again: bool = False) -> str:
    return deliver(storage, bring.registered, entry, again=again)  # type: ignore[attr-defined]


def sample(storage: Storage) -> None:
    out = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), "teal").save(out, "PNG")
    storage.write("models", "look/samples/a.png", out.getvalue())


def serving(storage: Storage) -> str:
    pointer = read_pointer(storage, "look")
    return pointer[0].version if pointer else ""


@pytest.mark.parametrize(
    ("manifest", "old", "near", "far", "words"),
    [
        (SEGMENT, halves(16), (SEGMENT_BACK, halves(16)[:, ::-1]), halves(30), r"mean IoU of the classes"),
        (POSE, person(), (POSE, person(0.005)), person(0.4), r"similarity of the keypoints \(OKS\)"),
        (VECTOR, [[1, 0]], (VECTOR, [[4, 3]]), [[0, 1]], "cosine of the vectors"),
        (PAINT, painted(True), (PAINT, painted(True)), painted(False), "SSIM of the pictures"),
    ],
    ids=["segmentation", "pose", "embedding", "image-to-image"],
)  # fmt: skip
def test_a_version_serves_where_it_answers_about_the_same(
    manifest: str, old: Any, near: tuple[str, Any], far: Any, words: str, storage: Storage, bring: Bring
) -> None:
    sample(storage)
    bring(manifest, answering(np.asarray(old, np.float32)), "1")
    assert "nothing was compared: nothing from the container serves as look yet" in delivered(storage, bring)
    bring(near[0], answering(np.asarray(near[1], np.float32)), "2")
    assert "released as look: tried on 1 sample; it agrees with what served before on " in delivered(storage, bring)
    bring(manifest, answering(np.asarray(far, np.float32)), "3")
    with pytest.raises(BadModel, match=rf"agrees with version 2 on \d.*% \({words}, over 1 of 1 samples\); .*is 80%"):
        delivered(storage, bring)
    pointer = read_pointer(storage, "look")
    assert pointer and pointer[0].version == "2" and pointer[0].canary
    share = pointer[0].canary["agreement"]
    assert 0.8 <= share <= 1 and (manifest != VECTOR or share == 0.8)  # 4 / 5


@pytest.mark.parametrize(
    ("old", "new", "shown", "words"),
    [
        ((VECTOR, [[1, 0]]), (VECTOR, [[1, 0]]), False, r"there are no samples in models/look/samples/; put pictures"),
        ((CATS, halves(SIDE)), (CATS, halves(SIDE)), True, r"neither version finds anything on any sample in .*; put"),
        ((VECTOR, [[1, 0]]), (VECTOR, [[1, 0, 0]]), True, "a vector of 3 numbers, .* a vector of 2 numbers; take min_"),
        ((VECTOR, [[1, 0]]), (NAMES, [[1, 0]]), True, "does image-classification, the serving one image-feature-extr"),
    ],
    ids=["no samples", "nothing found", "another length", "another task"],
)  # fmt: skip
def test_what_cannot_be_measured_does_not_serve(
    old: tuple[str, Any], new: tuple[str, Any], shown: bool, words: str, storage: Storage, bring: Bring
) -> None:
    if shown:
        sample(storage)
    bring(old[0], answering(np.asarray(old[1], np.float32)), "1")
    delivered(storage, bring)
    bring(new[0], answering(np.asarray(new[1], np.float32)), "2")
    for again in (False, True):  # --again is no way around it
        with pytest.raises(BadModel, match=f"how far it agrees with version 1 cannot be measured: .*{words}") as error:
            delivered(storage, bring, again=again)
        assert "`python -m cloud models deliver look --again`" in str(error.value)
    assert serving(storage) == "1"
    tried = "tried on 1 sample" if shown else "verified without samples"
    assert delivered(storage, bring, ModelEntry("look"), again=True).endswith(f" is released as look: {tried}")
    assert serving(storage) == "2"


def test_samples_that_come_later_open_the_gate(storage: Storage, bring: Bring) -> None:
    bring(NAMES, answering(np.asarray([[3, 1]], np.float32)), "1")
    delivered(storage, bring)
    bring(NAMES, answering(np.asarray([[2, 1]], np.float32)), "2")
    with pytest.raises(BadModel, match="there are no samples"):
        delivered(storage, bring)
    sample(storage)
    words = "on 1 sample; it agrees with what served before on 100% (the best label, over 1 of them)"
    assert words in delivered(storage, bring, again=True)


def test_a_clip_model_is_not_compared_on_pictures(storage: Storage, bring: Bring) -> None:
    sample(storage)
    clip = 'task = "video-classification"\nhead = "classifier"\nlabels = ["dark", "bright"]\n'
    clip += '[postprocess]\nparams = { activation = "none" }\n'
    for version in ("1", "2"):
        bring(clip, lambda path: brightness_model(path, [1, 4, 8, 10, 3]), version)
        if version == "1":
            assert "is released as look: verified without samples; nothing was compared" in delivered(storage, bring)
    with pytest.raises(BadModel, match="it does video-classification on clips, and the samples are pictures; take min"):
        delivered(storage, bring)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (("model.onnx", "model.toml"), ".*look/versions/1/ holds no model: .*; take min_agreement out"),
        (("model.onnx",), ".*look/versions/1/ holds other files than were released"),
        ((), "model .look. cannot be used: model.onnx: it is not a complete ONNX file"),
    ],
)
def test_a_serving_version_that_does_not_run_any_more_closes_the_gate(
    gone: tuple[str, ...], words: str, storage: Storage, bring: Bring
) -> None:
    sample(storage)
    bring(NAMES, answering(np.asarray([[3, 1]], np.float32)), "1")
    delivered(storage, bring)
    if not gone:
        released = storage.read("models", "look/versions/1/model.onnx")
        assert released is not None
        storage.write("models", "look/versions/1/model.onnx", b"x" * len(released[0]))
    for name in gone:
        storage.delete("models", f"look/versions/1/{name}")
    bring(NAMES, answering(np.asarray([[3, 1]], np.float32)), "2")
    with pytest.raises(BadModel, match=f"with version 1 cannot be measured: that does not run any more: {words}"):
        delivered(storage, bring)
    assert serving(storage) == "1"


def test_storage_that_fails_for_a_moment_refuses_no_version(
    storage: Storage, bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample(storage)
    for version in ("1", "2"):
        bring(NAMES, answering(np.asarray([[3, 1]], np.float32)), version)
        if version == "1":
            delivered(storage, bring)

    def changed(*_: object) -> None:
        raise ServiceBusy("model.onnx was overwritten while it was fetched")

    with monkeypatch.context() as patch:
        patch.setattr("cloud.models.canary.fetch", changed)
        with pytest.raises(ServiceBusy):
            delivered(storage, bring)
    assert "it agrees with what served before on 100%" in delivered(storage, bring)


def test_what_came_with_the_app_is_no_earlier_version_and_what_was_dropped_by_hand_is(
    storage: Storage, bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample(storage)
    app = tmp_path / "app/look"
    answering(np.asarray([[1, 3]], np.float32))(app / "model.onnx")
    (app / "model.toml").write_text(f'name = "look"\n{NAMES}')
    monkeypatch.setenv("DROPSIGHT_MODELS", str(app.parent))
    bring(NAMES, answering(np.asarray([[3, 1]], np.float32)), "2")
    assert "nothing was compared: nothing from the container" in delivered(storage, bring)
    rollback(storage, "look", {"look"})
    bring(NAMES, answering(np.asarray([[3, 1]], np.float32)), "3")
    assert "nothing was compared" in delivered(storage, bring)
    rollback(storage, "look", {"look"})
    bring(NAMES, answering(np.asarray([[3, 1]], np.float32)), "4")
    for path in app.iterdir():
        storage.write("models", f"look/{path.name}", path)
    with pytest.raises(BadModel, match="agrees with the folder dropped by hand on 0%"):
        delivered(storage, bring, again=True)
