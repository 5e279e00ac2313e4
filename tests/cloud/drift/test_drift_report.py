"""The page and the contact sheet name the groups that moved."""

from __future__ import annotations

import numpy as np

from cloud.drift import drift_report
from cloud.drift.drift_entry import DriftEntry
from cloud.drift.drift_profile import profile
from cloud.drift.drift_rows import Row
from cloud.drift.drift_verdict import compare
from tests.cloud.drift.drift_world import row


def test_page_and_pictures_are_those_of_the_groups_that_moved() -> None:
    chance = np.random.default_rng(1)

    def rows(dark: str, turned: float) -> list[Row]:
        cameras = [
            row(n, folder=f"<cam{n % 3}>", brightness=float(chance.normal(0.1 if f"cam{n % 3}" == dark else 0.5, 0.05)),
                score=float(chance.normal(0.7, 0.1))) for n in range(300)
        ]  # fmt: skip
        search = [row(n, route="search", vector=[1.0, turned + chance.normal(0, 0.1)]) for n in range(60)]
        return [*cameras, *search]

    window = rows("cam1", 2.0)
    baseline = profile(rows("", 0.0))
    verdict = compare(baseline, profile(window), DriftEntry())
    page = drift_report.page(verdict, "contact.jpg").decode()
    assert "<h2>route r, folder &lt;cam1&gt;: alert</h2>" in page and "<h2>route search: alert</h2>" in page
    assert "Mean embedding: turned by a cosine distance of 0.5" in page and "2 groups that did not move" in page
    picked = dict(drift_report.picked(verdict, window, baseline))
    assert {row.folder for row, _ in picked["Most drifted: route r, folder <cam1>"]} == {"<cam1>"}
    assert all(why.startswith("embedding 0.") for _, why in picked["Most drifted: route search"])
