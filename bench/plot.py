"""A log-log plot as SVG, without a plotting library: one picture does not justify the
dependency.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = ["log_log"]

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 44, 54
COLOURS = ("#0b6e4f", "#1f78b4", "#888888", "#d95f02", "#a6297a")
STYLE = """\
svg { font: 13px sans-serif; }
text { fill: #222222; } .title { font-size: 15px; } .grid { stroke: #dddddd; }
.line { fill: none; stroke-width: 2; }"""

Points = Sequence[tuple[float, float]]


def log_log(title: str, across: str, up: str, lines: Mapping[str, Points], note: str = "") -> str:
    """Return the picture of `lines`, each a name and its points; all values are above 0."""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_axis, y_axis = _Axis(xs, LEFT, WIDTH - RIGHT), _Axis(ys, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
    ]
    for decade in x_axis.decades:
        at = x_axis(10.0**decade)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(_text(at, HEIGHT - BOTTOM + 18, _size(decade), "middle"))
    for decade in y_axis.decades:
        at = y_axis(10.0**decade)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, at + 4, _seconds(decade), "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, across, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{escape(up)}</text>'
    )
    ends: list[float] = []
    named = sorted(lines.items(), key=lambda item: y_axis(item[1][-1][1]))
    for number, (name, points) in enumerate(named):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{x_axis(x):.1f} {y_axis(y):.1f}" for x, y in points)
        parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
        for x, y in points:
            parts.append(
                f'<circle cx="{x_axis(x):.1f}" cy="{y_axis(y):.1f}" r="3" fill="{colour}"/>'
            )
        # The name of a line is at its end; names that would overlap are moved apart.
        at = max(y_axis(points[-1][1]), ends[-1] + 16 if ends else 0.0)
        ends.append(at)
        parts.append(
            f'<text x="{x_axis(points[-1][0]) + 10:.1f}" y="{at + 4:.1f}" style="fill: {colour}">{escape(name)}</text>'
        )
    if note:
        parts.append(
            f'<text x="{LEFT}" y="{TOP - 6}" style="font-size: 11px">{escape(note)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """Maps values to coordinates, by logarithms, over whole decades."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.low, self.high = low, max(high, low + 1)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    @property
    def decades(self) -> range:
        return range(self.low, self.high + 1)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _size(decade: int) -> str:
    """Return ten to that power as a size."""
    unit = min(max(decade // 3, 0), 3)
    return f"{10 ** (decade - 3 * unit)} {('B', 'kB', 'MB', 'GB')[unit]}"


def _seconds(decade: int) -> str:
    """Return ten to that power as a time."""
    if decade >= 0:
        return f"{10**decade} s"
    unit = 1 if decade >= -3 else 2
    return f"{10 ** (decade + 3 * unit)} {('', 'ms', 'µs')[unit]}"
