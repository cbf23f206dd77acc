"""Two small charts as SVG text."""

from __future__ import annotations

from html import escape

from voxtune.demo.summary import TestSet

WIDTH, HEIGHT, LEFT, TOP = 450, 260, 46, 48
COLOURS = {"before": "#d97757", "after": "#2f7d6d"}

Points = list[tuple[int, float]]


def bars(sets: list[TestSet]) -> str:
    """Word error rate of each set before and after, with 95 % bootstrap intervals."""
    highest = max(1.0, *(rate.high for s in sets for rate in (s.before, s.after)))
    group = (WIDTH - LEFT) / len(sets)
    shapes = [_title("word error rate"), *_axis(highest, "{:.0%}")]
    for number, test_set in enumerate(sets):
        for column, (name, rate) in enumerate((("before", test_set.before), ("after", test_set.after))):
            x = LEFT + group * number + group * (0.2 + 0.32 * column)
            width = group * 0.26
            middle = x + width / 2
            shapes += [
                f'<rect x="{x:.1f}" y="{_y(rate.rate, highest):.1f}" width="{width:.1f}" '
                f'height="{_y(0, highest) - _y(rate.rate, highest):.1f}" fill="{COLOURS[name]}"/>',
                f'<path d="M{middle:.1f} {_y(rate.low, highest):.1f} V{_y(rate.high, highest):.1f}" stroke="#1d2433"/>',
                _text(middle, _y(rate.high, highest) - 6, f"{rate.rate:.1%}", anchor="middle"),
            ]
        shapes.append(_text(LEFT + group * (number + 0.5), HEIGHT - 6, test_set.title, anchor="middle"))
    return _svg(shapes)


def curve(losses: Points, validation: Points) -> str:
    """Training loss, smoothed over 20 steps, and validation loss, over steps."""
    smooth = [
        (step, sum(value for _, value in losses[max(0, i - 19) : i + 1]) / min(20, i + 1))
        for i, (step, _) in enumerate(losses)
    ]
    highest = max((value for _, value in smooth + validation), default=1.0)
    last = max((step for step, _ in losses), default=1)

    def place(step: int, value: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - 10) * step / last:.1f} {_y(value, highest):.1f}"

    shapes = [_title("loss by step (line: training; dots: validation)"), *_axis(highest, "{:.1f}")]
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
