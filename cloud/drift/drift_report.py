"""A report that a person can judge by: what moved, and the pictures behind it."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from cloud.drift.drift_groups import in_words
from cloud.drift.drift_measures import cosine_distance
from cloud.drift.drift_profile import Profile, pooled
from cloud.drift.drift_rows import Row
from cloud.drift.drift_verdict import Verdict
from inference.plain_text import single

# Of so many groups that moved pictures are shown, the worst first.
_GROUPS = 3
_TILE, _CAPTION, _COLUMNS = 160, 30, 6
_BACKGROUND, _INK, _FAINT = (250, 250, 248), (30, 30, 30), (200, 200, 196)


def picked(verdict: Verdict, window: Sequence[Row], baseline: Profile) -> list[tuple[str, list[tuple[Row, str]]]]:
    """The rows whose pictures show what moved, each with a reason, under titles that name their group."""
    picked, seen = [], []
    for moved in verdict.moved[:_GROUPS]:
        of_group = baseline.of_route(moved.route)
        of_group = of_group if moved.folder is None else of_group.of_folder(moved.folder)
        rows = [row for row in window if row.route == moved.route and moved.folder in (None, row.folder)]
        picked.append((f"Most drifted: {in_words(moved.route, moved.folder)}", most_drifted(rows, of_group)))
        seen += rows
    unique = list({row.name: row for row in seen}.values())
    return [*picked, ("Least certain of these", least_certain(unique))]


def most_drifted(rows: Sequence[Row], baseline: Profile, most: int = _COLUMNS) -> list[tuple[Row, str]]:
    """The rows with a number farthest from the baseline, in robust standard deviations, and which number it is."""
    scored = []
    scales = {}
    for name, column in baseline.numbers.items():
        values = column[~np.isnan(column)]
        if len(values):
            median = float(np.median(values))
            # 1.4826 makes the median absolute deviation a standard deviation for normal values.
            scales[name] = (median, 1.4826 * float(np.median(np.abs(values - median))) or float(values.std()) or 1.0)
    vectors = pooled(baseline.vectors.values()) if baseline.vectors else None
    for row in rows:
        far = [
            (abs(row.numbers[name] - middle) / scale, f"{name} {row.numbers[name]:g}")
            for name, (middle, scale) in scales.items()
            if name in row.numbers
        ]
        if vectors and row.vector is not None and row.vector.size == vectors.mean.size:
            apart = float(np.linalg.norm(row.vector - vectors.mean)) / (vectors.spread**0.5 or 1.0)
            far.append((apart, f"embedding {cosine_distance(row.vector.astype(np.float64), vectors.mean):.2f} away"))
        if far:
            distance, why = max(far)
            scored.append((distance, row, why))
    scored.sort(key=lambda entry: -entry[0])
    return [(row, why) for _, row, why in scored[:most]]


def least_certain(rows: Sequence[Row], most: int = _COLUMNS) -> list[tuple[Row, str]]:
    """The rows whose best score is lowest."""
    scored = sorted((row for row in rows if "score" in row.numbers), key=lambda row: row.numbers["score"])
    return [(row, f"{row.label} {row.numbers['score']:.2f}") for row in scored[:most]]


def contact_sheet(
    groups: Sequence[tuple[str, Sequence[tuple[Row, str]]]], fetch: Callable[[str], Image.Image | None]
) -> bytes:
    """One JPEG: a titled row of pictures per group, with the reason below; a grey tile where there is none."""
    height = sum(_CAPTION + (_TILE + _CAPTION) for _ in groups) or _CAPTION
    sheet = Image.new("RGB", (_COLUMNS * _TILE, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = 0
    for title, members in groups:
        draw.text((6, top + 8), single(title), fill=_INK, font_size=14)
        top += _CAPTION
        for column, (row, why) in enumerate(members):
            left = column * _TILE
            image = fetch(row.name)
            if image is None:
                draw.rectangle((left + 4, top + 4, left + _TILE - 4, top + _TILE - 4), fill=_FAINT)
            else:
                image.thumbnail((_TILE - 8, _TILE - 8))
                sheet.paste(image, (left + (_TILE - image.width) // 2, top + (_TILE - image.height) // 2))
            draw.text((left + 6, top + _TILE), _fit(single(why), 24), fill=_INK, font_size=11)
            draw.text((left + 6, top + _TILE + 13), _fit(single(row.name), 24), fill=(110, 110, 110), font_size=10)
        top += _TILE + _CAPTION
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=85)
    return out.getvalue()


def page(verdict: Verdict, contact: str) -> bytes:
    """The report as an HTML page; `contact` is the contact sheet's name beside it."""
    named = {in_words(moved.route, moved.folder): moved.status for moved in verdict.moved}
    tables = "".join(_table(verdict, group, f"<h2>{html.escape(group)}: {named[group]}</h2>") for group in named)
    others = sorted({shift.group for shift in verdict.shifts} - set(named))
    still = "".join(_table(verdict, group, f"<h3>{html.escape(group)}</h3>") for group in others)
    if still:
        still = f"<details><summary>{len(others)} groups that did not move</summary>{still}</details>"
    why = "".join(f"<li>{html.escape(part)}" for part in verdict.why.split("; "))
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Drift: {verdict.status}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1e1e1e}}
table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #ddd}}
td:nth-child(n+4),th:nth-child(n+4){{text-align:right;font-variant-numeric:tabular-nums}}img{{max-width:100%}}
h2{{font-size:1.15rem;margin:1.6rem 0 .4rem}}h3{{font-size:1rem;margin:1rem 0 .2rem}}</style>
<h1>Drift: {verdict.status}</h1><p>{verdict.count} results, {html.escape(verdict.at)}</p><ul>{why}</ul>
{tables}<h2>Pictures</h2><img src="{html.escape(contact)}" alt="most drifted and least certain pictures">
{still}</html>""".encode()


def _table(verdict: Verdict, group: str, title: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(s.feature)}<td>{html.escape(str(s.before))}<td>{html.escape(str(s.now))}"
        f"<td>{s.psi:.3f}<td>{s.psi_excess:.3f}<td>{s.js:.3f}<td>{'' if s.ks is None else f'{s.ks:.3f}'}"
        f"<td>{'' if s.p is None else f'{s.p:.2g}'}"
        for s in verdict.shifts
        if s.group == group
    )
    head = "<tr><th>feature<th>baseline<th>now<th>PSI<th>above chance<th>JS<th>KS<th>p</tr>"
    turns = "".join(
        f"<p>Mean embedding: turned by a cosine distance of {turn.distance}, {turn.excess} above chance.</p>"
        for turn in verdict.turns
        if turn.group == group
    )
    return f"{title}<table>{head}{rows}</table>{turns}"


def _fit(text: str, length: int) -> str:
    # The end of a path tells more than its beginning.
    return text if len(text) <= length else "..." + text[3 - length :]
