"""docs/results.md says what the document is: its examples are valid, its code runs, no member is missing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.results.schema import schema
from inference.routes import Route, Step
from inference.video.options import FOLLOW
from inference.video.zone_states import Kind

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/results.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\w*)\n(.*?)^```$", PAGE, flags=re.M | re.S)
EXAMPLES = [(kind, json.loads(text)) for language, kind, text in BLOCKS if language == "json"]
DEFINITIONS = schema()["$defs"]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_satisfy_the_schema(number: int) -> None:
    kind, example = EXAMPLES[number]
    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": DEFINITIONS}).validate(example)
    unknown = {name for name in example if name not in DEFINITIONS[kind]["properties"]}
    assert not unknown, "the schema allows other members, but an example has only those that there are"


def test_there_is_an_example_of_everything() -> None:
    steps = [step for kind, value in EXAMPLES for step in ([value] if kind == "step" else value.get("steps", []))]
    assert {step["task"] for step in steps} >= {
        "image-classification", "object-detection", "image-segmentation", "keypoint-detection", "image-to-image",
        "image-feature-extraction",
    }  # fmt: skip
    assert {kind for kind, _ in EXAMPLES} == {"result", "summary", "step", "prediction", "frame", "timeline", "error"}


def test_every_member_is_explained() -> None:
    names = {name for kind in DEFINITIONS.values() for name in kind["properties"]}
    kinds = {*get_args(Kind), "track", "scene", "action", FOLLOW}
    assert {name for name in names | kinds if f"`{name}`" not in PAGE} == set()


def members(value: Any) -> Any:
    """The names and types of a document's members, with one item of each list."""
    if isinstance(value, dict):
        return {name: members(item) for name, item in value.items()}
    return [members(item) for item in value[:1]] if isinstance(value, list) else type(value).__name__


def test_the_whole_document_is_what_a_run_gives() -> None:
    route = Route("r", (Step("classify"),))
    analysis = analyze(ROOT / "samples/coffee.jpg", route, Registry([ROOT / "models"]))
    found, (kind, example) = json.loads(json.dumps(analysis.result.to_json())), EXAMPLES[0]
    assert kind == "result" and members(found) == members(example)
    (step,), (shown,) = found["steps"], example["steps"]
    assert step["threshold"] == shown["threshold"]
    assert [p["label"] for p in step["predictions"]] == [p["label"] for p in shown["predictions"]]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools lags behind numpy 2
def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Reading a document with the published types, and the mask of the example with as many pixels as it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "docs/types"))
    Path("result.json").write_text(json.dumps(EXAMPLES[0][1]), "utf-8")
    mask = next(example for _, example in EXAMPLES if "mask_rle" in example)
    names: dict[str, Any] = {"prediction": mask}
    codes = [text for language, _, text in BLOCKS if language == "python"]
    for code in codes:
        exec(code, names)
    sys.modules.pop("dropsight")
    assert len(codes) == 2 and "espresso" in capsys.readouterr().out
    assert names["bits"].shape == tuple(mask["mask_rle"]["size"])
    x1, y1, x2, y2 = (int(v) for v in mask["box"])
    assert names["bits"][y1 : y2 + 1, x1 : x2 + 1].sum() > 0.99 * mask["area"]
