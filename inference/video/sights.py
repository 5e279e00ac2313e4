"""Of which frame each track is saved as a picture: where its score is highest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from inference.draw.crops import FOLDER, MOST_CROPS, Box
from inference.predictions import Objects, Predictions


def crop_name(track: int) -> str:
    """The file of a track's best sight."""
    return f"{FOLDER}/track-{track}.jpg"


def sights_in(steps: Mapping[str, Predictions], labels: Collection[str]) -> dict[int, tuple[float, Box]]:
    """(score, box) of a frame's tracked objects with these labels, by track; the best, where several steps have it."""
    best: dict[int, tuple[float, Box]] = {}
    for objects in steps.values():
        if not isinstance(objects, Objects) or objects.tracks is None:
            continue
        rows = zip(objects.tracks.tolist(), objects.names, objects.scores.tolist(), objects.boxes.tolist(), strict=True)
        for track, label, score, box in rows:
            if track >= 0 and label in labels and score > best.get(track, (-1.0,))[0]:
                best[track] = score, tuple(box)
    return best


class Sights:
    """The frame with the best sight of each track of these labels; of the best MOST_CROPS tracks, if there are more."""

    def __init__(self, labels: Collection[str]) -> None:
        self._labels = frozenset(labels)
        self._best: dict[int, tuple[float, int]] = {}  # by track: (score, frame)
        self._untracked: dict[str, None] = {}
        self._too_many = False

    def take(self, index: int, steps: Mapping[str, Predictions]) -> None:
        """A frame, its predictions by step with the numbers of their tracks."""
        if not self._labels:
            return
        for track, (score, _) in sights_in(steps, self._labels).items():
            if score > self._best.get(track, (-1.0,))[0]:
                self._best[track] = score, index
        # Scores only grow: what is among the best at the end has been there since its best sight.
        while len(self._best) > MOST_CROPS:
            self._too_many = True
            del self._best[min(self._best, key=lambda track: (self._best[track][0], -track))]
        for predictions in steps.values():
            self._untracked |= dict.fromkeys(_untracked(predictions, self._labels))

    def frame(self, track: int) -> int | None:
        """The index of the frame with its best sight so far; None for a track of which none is saved."""
        best = self._best.get(track)
        return None if best is None else best[1]

    def of(self, tracks: Mapping[int, str]) -> list[list[int]]:
        """(track, frame) of those tracks that are called so as a whole; by track, their labels."""
        return [[track, frame] for track, (_, frame) in sorted(self._best.items()) if tracks.get(track) in self._labels]

    def notes(self, tracks: Mapping[int, str]) -> Iterator[str]:
        """What is not saved, and why."""
        if self._too_many:
            yield f"draw.crops: of its tracks the {MOST_CROPS} with the highest scores are saved as pictures"
        if labels := sorted(self._untracked.keys() - set(tracks.values())):
            yield f"draw.crops: of videos only what is tracked is saved as pictures; not so {', '.join(labels)}"


def _untracked(predictions: object, labels: Collection[str]) -> Iterator[str]:
    """The labels of objects that no tracker can number: of steps that are not tracked, and on crops."""
    if isinstance(predictions, Objects):
        if predictions.tracks is None:
            yield from (name for name in predictions.names if name in labels)
        for answers in predictions.attributes:
            for answer in answers.values():
                yield from _untracked(answer, labels)
