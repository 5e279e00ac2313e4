"""What is published where a route blurs: no file with pixels shows the face, whatever made it.

Every file of an analysis is looked at, by what it is: one of a kind that is not known here fails.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.analysis import analyze
from inference.engine.registry import BUILT_IN, Registry
from inference.predictions import Objects
from inference.results.hidden import is_hidden
from inference.results.result import Source
from inference.routes import Draw, Route, Step
from inference.routes_file import parse_routes
from inference.steps import Analysis
from inference.video.join import join
from inference.video.options import VideoOptions
from inference.video.read import probe, scan
from inference.video.render import draw_part
from inference.video.split import detect_part, merge, plan, prepare
from inference.video.summary import RouteFacts
from inference.video.write import VideoWriter
from tests.inference.graphs import build, picture_input, save

ROOT = Path(__file__).resolve().parents[2]
SIDE = 256
# Where the face is in the picture below, as shares of its sides: eyes, nose and mouth.
FACE = (0.40, 0.20, 0.62, 0.47)
# Files that hold no pixels: numbers and words only.
WORDS = {".jsonl", ".csv", ".txt", ".vtt", ".npy"}
Files = Mapping[str, bytes | Path]
Plane = NDArray[np.float64]
Node = tuple[str, str, str] | tuple[str, str, str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The models that come with the project, and for every other kind of file one that shows what it is given."""
    folder = tmp_path_factory.mktemp("models")
    one, two, wide = ("float32", [1, 1, SIDE, SIDE]), ("float32", [1, 2, SIDE, SIDE]), picture_input("images", SIDE)
    mean: Node = ("ReduceMean", "images", "grey", {"axes": [1], "keepdims": 1})
    build(folder / "depth/model.onnx", wide, [mean], {"grey": one})
    lighter: list[Node] = [mean, ("Sub", "half grey", "dark"), ("Concat", "dark grey", "both", {"axis": 1})]
    build(folder / "light/model.onnx", wide, lighter, {"both": two}, {"half": np.float32(0.8)})
    build(folder / "cutout/model.onnx", wide, [mean], {"grey": one})
    build(folder / "same/model.onnx", wide, [("Identity", "images", "out")], {"out": ("float32", wide["images"][1])})
    for name, more in {
        "depth": 'task = "depth-estimation"\nhead = "depth"',
        "light": 'task = "image-segmentation"\nhead = "semantic"\nlabels = ["dark", "light"]',
        "cutout": 'task = "image-to-image"\nhead = "image"\n[postprocess]\nparams = { kind = "alpha" }',
        "same": 'task = "image-to-image"\nhead = "image"',
    }.items():
        (folder / name / "model.toml").write_text(f'name = "{name}"\n{more}\n')
    return Registry([folder, BUILT_IN])


def photo() -> Pillow.Image:
    return Pillow.open(ROOT / "samples/astronaut.jpg").convert("RGB").crop((60, 0, 360, 300)).resize((SIDE, SIDE))


def route(blur: tuple[str, ...], steps: tuple[str, ...]) -> Route:
    draw = Draw(labels=False, boxes=False, masks=0.3, blur=blur, crops=("face",), quality=95)
    video = VideoOptions(heat_map=True, thumbnails=2)
    return Route("r", (*map(Step, steps), Step("faces")), draw=draw, video=video)


def pictures(files: Files) -> Iterator[tuple[str, list[Plane]]]:
    """The pictures (H, W), 0..255, of every file that holds some; of a transparent one its colours and its alpha."""
    for name, content in files.items():
        kind = Path(name).suffix
        if kind in WORDS:
            continue
        if kind == ".mp4":
            with av.open(str(content)) as container:
                yield name, [f.to_ndarray(format="gray").astype(float) for f in container.decode(video=0)]
        elif kind in (".jpg", ".png"):
            image = Pillow.open(io.BytesIO(content if isinstance(content, bytes) else content.read_bytes()))
            assert not hasattr(image, "n_frames") or image.n_frames == 1
            planes = image.split() if image.mode == "RGBA" else [image if image.mode in "L;16" else image.convert("L")]
            values = [np.asarray(plane, float) for plane in planes]
            # ids of a map are few and small
            yield name, [v * 255 / max(v.max(), 1) if v.max() < 32 else v for v in values]
        else:
            raise AssertionError(f"{name}: a kind of file of which nobody said whether it shows a face")


def details(plane: Plane, name: str) -> float:
    """How much changes from pixel to pixel where the face is, at the picture's scale of SIDE."""
    image = Pillow.fromarray(plane.astype(np.float32))
    if name.startswith("crops/"):  # the face and a little around it
        image = image.resize((72, 96))
        x1, y1, x2, y2 = 12, 14, 60, 82
    else:
        image = image.resize((SIDE, SIDE))
        x1, y1, x2, y2 = (round(share * SIDE) for share in FACE)
    part = np.asarray(image, float)[y1:y2, x1:x2]
    return float(np.abs(np.diff(part, axis=0)).mean() + np.abs(np.diff(part, axis=1)).mean())


def assert_no_face(blurred: Files, sharp: Files, expected: set[str]) -> None:
    """No picture of any file of the first shows what those of the second do."""
    assert set(blurred) == set(sharp) >= expected, sorted(blurred)
    shown = dict(pictures(sharp))
    for name, planes in pictures(blurred):
        assert len(planes) == len(shown[name])
        for number, (plane, before) in enumerate(zip(planes, shown[name], strict=True)):
            had, has = details(before, name), details(plane, name)
            assert had > 8, f"{name} {number}: there is nothing to hide"
            assert has < had / 4, f"{name} {number}: {has:.1f} of the details, without blur {had:.1f}"


def assert_said(made: Sequence[Analysis]) -> None:
    """Of an analysis that blurs and of one that does not, the documents say so: who shows uploads goes by that."""
    documents = [each.result.to_json() for each in made]
    assert [document.get("blurred") for document in documents] == [["face"], None]
    assert [is_hidden(document) for document in documents] == [True, False]


@pytest.mark.slow
def test_no_file_of_a_picture_shows_a_face_that_is_blurred(registry: Registry) -> None:
    steps = ("depth", "light", "cutout", "same", "sketch", "cartoon", "colors", "style-brush")
    buffer = io.BytesIO()
    photo().save(buffer, "PNG")
    made = [analyze(buffer.getvalue(), route(b, steps), registry) for b in (("face",), ())]
    assert_said(made)
    blurred, sharp = (each.artifacts for each in made)
    expected = {"annotated.jpg", "crops/faces-0.jpg", "cutout.png", "light.png", "colors.png", "depth.jpg"}
    assert_no_face(blurred, sharp, expected | {"same.jpg", "sketch.jpg", "cartoon.jpg", "style-brush.jpg"})


def clip(path: Path) -> Path:
    """Four frames, one a second, every second a keyframe: the face moves to the right by a pixel a frame."""
    pixels = np.asarray(photo())
    with VideoWriter(path, fps=1.0, preset="ultrafast", crf=10) as writer:
        for i in range(4):
            writer.write(np.roll(pixels, i, axis=1), float(i))
    return path


STEPS = ("depth", "light", "same")
MADE = {"annotated.mp4", "depth.mp4", "same.mp4", "poster.jpg", "heat.jpg", "thumbnails/000.jpg", "crops/track-1.jpg"}


@pytest.mark.slow
def test_no_file_of_a_video_shows_a_face_that_is_blurred(registry: Registry, tmp_path: Path) -> None:
    media = clip(tmp_path / "clip.mp4")
    made = [analyze(media, route(blur, STEPS), registry) for blur in (("face",), ())]
    assert_said(made)
    assert_no_face(made[0].artifacts, made[1].artifacts, MADE)


@pytest.mark.slow
def test_no_file_of_a_video_in_parts_shows_one(registry: Registry, tmp_path: Path) -> None:
    media = clip(tmp_path / "clip.mp4")
    made = [in_parts(media, route(blur, STEPS), registry, tmp_path / f"{len(blur)}") for blur in (("face",), ())]
    assert_no_face(made[0], made[1], MADE)


def in_parts(media: Path, route: Route, registry: Registry, folder: Path) -> dict[str, bytes | Path]:
    """The files of a clip that is analysed in two parts."""
    parts = plan(scan(media), route.video_options, 2.0, 0.0, 2.0)
    assert len(parts) == 2
    facts = prepare(media, probe(media), route, registry, budget_s=1.0).facts
    facts = RouteFacts.from_json(json.loads(json.dumps(asdict(facts))))
    lines: dict[int, list[str]] = {part.number: [] for part in parts}
    for name in ("d0", "d1", "files", "p0", "p1"):
        (folder / name).mkdir(parents=True)
    size = (SIDE, SIDE)
    stored = [(p, [*detect_part(media, p, route, registry, folder / f"d{p.number}", 1.0, size)]) for p in parts]
    summary = merge(stored, route, facts, size, Source(), folder / "files", lambda n, text: lines[n].append(text))
    files: dict[str, bytes | Path] = {path.name: path for path in (folder / "files").iterdir()}
    videos: dict[str, list[Path]] = {}
    for part in parts:
        drawn = draw_part(media, part, lines[part.number], route, summary, folder / f"p{part.number}", 1.0)
        videos.setdefault("annotated.mp4", []).append(Path(str(drawn.pop("annotated.mp4"))))
        files |= drawn
        for path in sorted((folder / f"d{part.number}").iterdir()):
            videos.setdefault(path.name, []).append(path)
    for name, made in videos.items():
        files[name] = folder / name
        join(made, folder / name)
    return files


def test_what_the_answer_has_no_room_for_or_is_unsure_of_is_blurred(tmp_path: Path) -> None:
    """A step's high threshold and a model's max_detections decide what is in the result, not what is shown."""
    boxes = np.array([[[8, 8, 24, 24], [40, 8, 56, 24], [8, 40, 24, 56], [40, 40, 56, 56]]], np.float32)
    scores = np.array([[[0.95], [0.92], [0.7], [0.3]]], np.float32)  # the last is no face
    save(tmp_path / "m/model.onnx", picture_input("images", 64), {"boxes": boxes, "scores": scores})
    (tmp_path / "m/model.toml").write_text(
        'name = "m"\ntask = "object-detection"\nhead = "boxes"\nlabels = ["face"]\n'
        "[postprocess]\nconfidence_threshold = 0.6\nmax_detections = 1\n"
    )
    checks = np.indices((64, 64)).sum(axis=0) % 4 // 2 * 255
    buffer = io.BytesIO()
    Pillow.fromarray(checks.astype(np.uint8)).save(buffer, "PNG")
    toml = '[[route]]\nname = "r"\nsteps = [{ model = "m", threshold = 0.9 }]\ndraw = { blur = "face", '
    (entry,) = parse_routes(f"{toml}labels = false, boxes = false }}\n", "routes").entries
    assert isinstance(entry, Route)
    analysis = analyze(buffer.getvalue(), entry, Registry([tmp_path]))
    (step,) = analysis.result.steps
    assert isinstance(step.predictions, Objects)
    assert step.predictions.scores.tolist() == pytest.approx([0.95]), "the result stays as it was"
    drawn = analysis.artifacts["annotated.jpg"]
    assert isinstance(drawn, bytes)
    shown = Pillow.open(io.BytesIO(drawn)).convert("L").resize((64, 64), Pillow.Resampling.BOX)
    pixels = np.asarray(shown, float)
    spread = [pixels[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].std() for x1, y1, x2, y2 in boxes[0].astype(int).tolist()]
    assert max(spread[:3]) < 25 < 60 < spread[3], spread
