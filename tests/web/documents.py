"""Result documents and pictures for pages, small and of every kind."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

COCO17_EDGES = [[0, 1], [0, 2], [5, 6], [5, 7]]


def picture(width: int = 64, height: int = 48, form: str = "JPEG") -> bytes:
    """A picture that is dark above and bright below."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, form)
    return buffer.getvalue()


def step(name: str, task: str, predictions: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A step of a document."""
    model = {"name": f"model-{name}", "version": "3", "sha256": "ab" * 32, "provider": "CPUExecutionProvider"}
    ms = {"preprocess": 1.0, "inference": 20.0, "postprocess": 2.0}
    return {
        "name": name,
        "task": task,
        "model": model,
        "threshold": 0.4,
        "predictions": [*predictions],
        "ms": ms,
        **more,
    }


def thing(number: int, label: str, score: float, box: Sequence[float], **more: Any) -> dict[str, Any]:
    """An object of the step "objects"."""
    return {"id": f"objects/{number}", "label": label, "label_id": number, "score": score, "box": [*box], **more}


def result(steps: Sequence[dict[str, Any]], size: tuple[int, int] = (640, 480), **more: Any) -> dict[str, Any]:
    """A document of a picture; `objects` of the summary as its steps have them."""
    objects: dict[str, int] = {}
    for item in (item for each in steps for item in each["predictions"] if "box" in item):
        objects[item["label"]] = objects.get(item["label"], 0) + 1
    source = {"container": "uploads", "name": "", "etag": "0x8DE", "bytes": 1234, "media_type": "image/jpeg",
              "width": size[0], "height": size[1], "orientation": 1, "duration_s": None, "frames": None,
              "fps": None}  # fmt: skip
    return {
        "schema": "dropsight/1",
        "source": source,
        "route": "street",
        "status": "ok",
        "steps": [*steps],
        "artifacts": {},
        "summary": {"objects": objects, "scene": {}, "guesses": {}},
        "cost": {"cpu_s": 0.5, "peak_rss_mb": 120, "wall_ms": 61.0},
        "trace": "3b96ba9dfe11452dc563884c9f660816",
        "versions": {"dropsight": "0.2.0", "onnxruntime": "1.32.0"},
        "created": "2026-11-26T23:56:26.339Z",
        **more,
    }


def street() -> dict[str, Any]:
    """Two people, one of them with a pose and a mask, a car, and a dog that is only a guess."""
    points = [[100.0 + 5 * k, 120.0 + 5 * k, 0.9] for k in range(8)]
    pose = {"id": "objects/0/pose/0", "label": "person", "label_id": 0, "score": 0.7, "box": [90, 90, 200, 300]}
    skeleton = {"name": "coco17", "points": [f"left_{k}" for k in range(8)], "edges": COCO17_EDGES}
    return result(
        [
            step(
                "objects",
                "object-detection",
                [
                    thing(0, "person", 0.93, (80, 80, 220, 400), attributes={"pose": [{**pose, "keypoints": points}]},
                          mask_rle={"size": [480, 640], "counts": [480 * 100, 480 * 40, 480 * 500]}),
                    thing(1, "person", 0.61, (300, 100, 360, 300)),
                    thing(2, "car", 0.8, (400, 200, 620, 420)),
                    thing(3, "dog", 0.2, (10, 400, 60, 470)),
                ],
            ),
            step("pose", "keypoint-detection", [], on="person", skeleton=skeleton),
        ]
    )  # fmt: skip


def clip(playable: bool = True) -> dict[str, Any]:
    """A video of four seconds with two tracks, a scene and a zone."""
    document = result(
        [step("objects", "object-detection", [])],
        (320, 240),
        artifacts={"annotated": "annotated.mp4", "frames": "frames.jsonl", "poster": "poster.jpg"},
        tracks=[
            {"id": 1, "label": "person", "start_s": 0.0, "end_s": 2.0, "frames": 8, "score": 0.8},
            {"id": 2, "label": "car", "start_s": 1.0, "end_s": 4.0, "frames": 12, "score": 0.6},
        ],
        timeline=[
            {"kind": "scene", "label": "street", "score": 0.7, "start_s": 0.0, "end_s": 4.0, "step": "scene"},
            {"kind": "enter", "zone": "yard", "track": 2, "label": "car", "t_s": 1.5, "start_s": 1.5, "end_s": 1.5},
            {"kind": "exit", "zone": "yard", "track": 2, "label": "car", "t_s": 3.0, "start_s": 3.0, "end_s": 3.0},
        ],
        zones={"yard": {"total": {"enter": 1, "exit": 1}, "intervals": []}},
        thumbnails=["thumbnails/000.jpg"],
    )
    media_type = "video/mp4" if playable else "video/x-msvideo"
    document["source"] |= {"media_type": media_type, "duration_s": 4.0, "fps": 10.0, "frames": 40}
    document["summary"]["objects"] = {"person": 1, "car": 1}
    return document
