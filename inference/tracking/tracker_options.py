"""What a route or a caller chooses of a tracker; the rest are constants of the algorithms' papers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """Buffers are seconds of the clip, whatever its frame rate.

    lost_s: how long a track may stay unseen and go on. reid_s: how long where it is recognised by its embedding; at
    least lost_s. confirm_hits: frames in a row that make a track. one_class: match across labels.
    """

    lost_s: float = 1.0
    confirm_hits: int = 2
    one_class: bool = False
    reid_s: float = 10.0
