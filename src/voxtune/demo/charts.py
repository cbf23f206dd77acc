"""Two small charts as SVG text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP = 450, 260, 46, 48
COLOURS = {"before": "#d97757", "after": "#2f7d6d"}

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Bar:
    """A share with its interval; `name` is one of COLOURS."""

    name: str
    rate: float
    low: float
    high: float


def bars(title: str, groups: dict[str, list[Bar]]) -> str:
    """Shares in groups, with intervals."""
    highest = max(1.0, *(bar.high for group in groups.values() for bar in group))
    group = (WIDTH - LEFT) / len(groups)
    shapes = [_title(title), *_axis(highest, "{:.0%}")]
    for number, (name_of_group, members) in enumerate(groups.items()):
        for column, rate in enumerate(members):
            x = LEFT + group * number + group * (0.2 + 0.32 * column)
            width = group * 0.26
            middle = x + width / 2
            shapes += [
                f'<rect x="{x:.1f}" y="{_y(rate.rate, highest):.1f}" width="{width:.1f}" '
                f'height="{_y(0, highest) - _y(rate.rate, highest):.1f}" fill="{COLOURS[rate.name]}"/>',
                f'<path d="M{middle:.1f} {_y(rate.low, highest):.1f} V{_y(rate.high, highest):.1f}" stroke="#1d2433"/>',
                _text(middle, _y(rate.high, highest) - 6, f"{rate.rate:.1%}", anchor="middle"),
            ]
        shapes.append(_text(LEFT + group * (number + 0.5), HEIGHT - 6, name_of_group, anchor="middle"))
    return _svg(shapes)


def curve(title: str, losses: Points, validation: Points) -> str:
    """A training loss, smoothed over 20 steps, and the validation loss, over steps."""
    smooth = [
        (step, sum(value for _, value in losses[max(0, i - 19) : i + 1]) / min(20, i + 1))
        for i, (step, _) in enumerate(losses)
    ]
    highest = max((value for _, value in smooth + validation), default=1.0)
    last = max((step for step, _ in losses), default=1)

    def place(step: int, value: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - 10) * step / last:.1f} {_y(value, highest):.1f}"

    shapes = [_title(f"{title} by step (line: training; dots: validation)"), *_axis(highest, "{:.1f}")]
    if smooth:
        path = "M" + " L".join(place(step, value) for step, value in smooth)
        shapes.append(f'<path d="{path}" fill="none" stroke="{COLOURS["after"]}" stroke-width="2"/>')
    for step, value in validation:
        x, y = place(step, value).split()
        shapes.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{COLOURS["before"]}"/>')
    shapes.append(_text(WIDTH - 10, HEIGHT - 6, f"step {last}", anchor="end"))
    return _svg(shapes)


def _y(value: float, highest: float) -> float:
    return HEIGHT - 24 - (HEIGHT - 24 - TOP) * value / highest


def _axis(highest: float, form: str) -> list[str]:
    shapes = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(highest * share, highest)
        shapes.append(f'<path d="M{LEFT} {y:.1f} H{WIDTH}" stroke="#e4e7ec"/>')
        shapes.append(_text(LEFT - 6, y + 4, form.format(highest * share), anchor="end"))
    return shapes


def _title(text: str) -> str:
    return f'<text x="{LEFT}" y="14" font-size="13" font-weight="600" fill="#1d2433">{escape(text)}</text>'


def _text(x: float, y: float, text: str, *, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" fill="#667085" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(shapes: list[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-family="system-ui">{"".join(shapes)}</svg>'
