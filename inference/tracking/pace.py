"""How far apart the analysed pictures of a clip are, so that no time constant is shorter than that."""

from __future__ import annotations

from collections import deque

# So many of the last gaps count. A single pause of a recording is none of the gaps to expect; every fourth is.
PACE_GAPS, _SHARE = 9, 0.75
# Of the expected gap: one picture may miss an object, and the next comes a little late.
_ONE_MISSED = 2.1
# What is longer than so many expected gaps is a pause. Keyframes come at irregular times.
_PAUSE = 4.0


class Pace:
    """Feed it the time of every analysed picture, in order; the same time again is the same picture."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._gaps: deque[float] = deque(maxlen=PACE_GAPS)

    def update(self, t_s: float) -> None:
        """Takes the time of the next picture."""
        if self._last_s is not None and t_s > self._last_s:
            self._gaps.append(t_s - self._last_s)
        self._last_s = t_s

    @property
    def gap_s(self) -> float:
        """Seconds between two pictures that three of four do not exceed lately; 0 before the second picture."""
        return sorted(self._gaps)[int(_SHARE * (len(self._gaps) - 1))] if self._gaps else 0.0

    def patience_s(self, wanted_s: float) -> float:
        """As long as wanted, and at least as long as it takes to see something again that one picture missed; 0 is up
        to the next picture. A pause of the recording does not make it longer."""
        gap_s = self.gap_s
        last_s = self._gaps[-1] if self._gaps and self._gaps[-1] <= _PAUSE * gap_s else 0.0
        return max(wanted_s, (_ONE_MISSED if wanted_s > 0 else _ONE_MISSED / 2) * gap_s, last_s)
