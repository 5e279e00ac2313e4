"""What was analysed."""

from __future__ import annotations

from typing import Any

import pytest

import inference.analysis as engine


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was analysed, in order; a hook can be set that runs in the middle of it."""
    seen: list[str] = []
    real = engine.analyze

    def analyze(media: Any, route: Any, registry: Any, source: Any, **options: Any) -> Any:
        seen.append(source.name)
        return real(media, route, registry, source, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
    return seen
