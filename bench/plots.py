"""Plots as SVG, drawn by hand: bars and lines, readable in a light and in a dark page."""

from collections.abc import Sequence
from html import escape
from itertools import count
from math import log10
from pathlib import Path

WIDTH, LABELS, BAR, GAP = 720, 250, 18, 8
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#64748b")
DARK = "@media(prefers-color-scheme:dark){text{fill:#eee}}"
STYLE = f"<style>text{{font:13px sans-serif;fill:#111}}line{{stroke:#999}}{DARK}</style>"


def bars(path: Path, title: str, values: Sequence[tuple[str, float, float, float]], unit: str, ours: str) -> None:
    """A bar for each (name, value, least, most), with a whisker from least to most; names that begin with `ours` stand
    out.
    """
    longest = max(most for _, _, _, most in values) or 1
    scale = (WIDTH - LABELS - 110) / longest
    parts = []
    for number, (name, value, least, most) in enumerate(values):
        y = 34 + number * (BAR + GAP)
        colour = COLOURS[0] if name.startswith(ours) else COLOURS[5]
        parts.append(f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LABELS}" y="{y}" width="{value * scale:.1f}" height="{BAR}" fill="{colour}"/>')
        middle, start, end = y + BAR / 2, LABELS + least * scale, LABELS + most * scale
        parts.append(f'<line x1="{start:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>')
        parts.append(f'<text x="{end + 6:.1f}" y="{y + 13}">{number_of(value)} {escape(unit)}</text>')
    _write(path, title, parts, 40 + len(values) * (BAR + GAP))


def lines(path: Path, title: str, across: str, unit: str, series: dict[str, list[tuple[float, float]]]) -> None:
    """A line for each series of (how many, value); how many on a logarithmic scale, values from 0."""
    left, top, width, height = 70, 40, WIDTH - 290, 220
    points = [point for one in series.values() for point in one]
    least, most = (log10(pick(x for x, _ in points)) for pick in (min, max))
    highest = 1.1 * max(y for _, y in points) or 1

    def at(x: float, y: float) -> tuple[float, float]:
        return left + width * (log10(x) - least) / ((most - least) or 1), top + height * (1 - y / highest)

    parts = [f'<line x1="{left}" x2="{left + width}" y1="{top + height}" y2="{top + height}"/>']
    parts += [
        f'<text x="{at(x, 0)[0]:.1f}" y="{top + height + 18}" text-anchor="middle">{x:,.0f}</text>'
        for x in sorted({x for x, _ in points})
    ]
    for share in (0.5, 1.0):
        y = at(10**least, highest / 1.1 * share)[1]
        parts.append(
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{number_of(highest / 1.1 * share)}</text>'
        )
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke-dasharray="2 4"/>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle">{escape(across)}</text>')
    parts.append(f'<text x="{left - 8}" y="{top - 6}" text-anchor="end">{escape(unit)}</text>')
    for number, colour, (name, values) in zip(count(), COLOURS * len(series), series.items(), strict=False):
        path_of = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in values))
        parts.append(f'<polyline points="{path_of}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + 14 + number * 20
        parts.append(f'<rect x="{left + width + 24}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + width + 42}" y="{y}">{escape(name)}</text>')
    _write(path, title, parts, top + height + 50)


def number_of(value: float) -> str:
    """Three digits, with commas."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _write(path: Path, title: str, parts: list[str], height: float) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
    lines_ = [
        head,
        f"<title>{escape(title)}</title>",
        STYLE,
        f'<text x="0" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    path.write_text("\n".join([*lines_, *parts, "</svg>"]) + "\n")
