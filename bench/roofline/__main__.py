#!/usr/bin/env python3
"""Draws measured tests under the machine's roof: operations per second over operations per byte, both logarithmic.

Reads what `quern bench --format json` printed; the roof is the one measured in the same run. Standard library only.

  build/quern bench model.gguf --prompt 512 --generate 128 --batch 1,8 --format json > a.json
  python3 bench/roofline a.json b.json > roofline.svg
"""
import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 70, 24, 44, 56
COLOURS = ["#1f6feb", "#d1603d", "#2b8a3e", "#8250df", "#b08800", "#0b7285"]


class Axes:
    """Places values on the sheet; both ends are powers of ten."""

    def __init__(self, xs, ys):
        self.x0, self.x1 = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
        self.y0, self.y1 = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def x(self, value):
        return LEFT + (math.log10(value) - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - (math.log10(value) - self.y0) / (self.y1 - self.y0) * (HEIGHT - TOP - BOTTOM)

    def draw(self):
        for power in range(self.x0, self.x1 + 1):
            x = self.x(10.0**power)
            yield f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' stroke='#ddd'/>"
            yield f"<text x='{x:.1f}' y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>{10.0**power:g}</text>"
        for power in range(self.y0, self.y1 + 1):
            y = self.y(10.0**power)
            yield f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>"
            yield f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{10.0**(power - 9):g}</text>"


def points_of(report):
    """(label, operations per byte, operations per second); the rate counts int8 and bf16 as their share of the peak."""
    for row in report["rows"]:
        peak = row["int8_ops_per_second"] or row["f32_ops_per_second"]
        speed = row["compute_fraction"] * peak
        label = row["test"] + (f" x{row['sequences']}" if row["sequences"] > 1 else "")
        label += f" @{row['depth']}" if row["depth"] else ""
        yield label, speed * row["seconds"] / row["bytes"], speed


def draw(reports):
    rows = [row for report in reports for row in report["rows"]]
    read = max(row["read_bytes_per_second"] for row in rows)
    peak = max(row["int8_ops_per_second"] or row["f32_ops_per_second"] for row in rows)
    points = [(report["model"], *point) for report in reports for point in points_of(report)]
    axes = Axes([p[2] for p in points] + [peak / read * 10], [p[3] for p in points] + [peak])
    left, right, ridge = 10.0**axes.x0, 10.0**axes.x1, peak / read
    yield f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='12'>"
    yield f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>"
    yield f"<text x='{LEFT}' y='24' font-size='15'>{read / 1e9:.1f} GB/s, {peak / 1e12:.2f} T int8 operations/s</text>"
    yield from axes.draw()
    floor = max(left, 10.0**axes.y0 / read)
    yield (f"<path d='M{axes.x(floor):.1f} {axes.y(floor * read):.1f}L{axes.x(ridge):.1f} {axes.y(peak):.1f}"
           f"L{axes.x(right):.1f} {axes.y(peak):.1f}' fill='none' stroke='#333' stroke-width='2'/>")
    yield f"<text x='{(LEFT + WIDTH) / 2}' y='{HEIGHT - 14}' text-anchor='middle'>operations per byte read</text>"
    yield f"<text x='{LEFT - 50}' y='{TOP - 8}'>Gop/s</text>"
    models = list(dict.fromkeys(point[0] for point in points))
    for model, label, x, y in points:
        colour = COLOURS[models.index(model) % len(COLOURS)]
        yield f"<circle cx='{axes.x(x):.1f}' cy='{axes.y(y):.1f}' r='4' fill='{colour}'/>"
        yield f"<text x='{axes.x(x) + 7:.1f}' y='{axes.y(y) + 4:.1f}' fill='{colour}'>{label}</text>"
    for i, model in enumerate(models):
        yield f"<text x='{LEFT + 12}' y='{TOP + 18 + 16 * i}' fill='{COLOURS[i % len(COLOURS)]}'>{model}</text>"
    yield "</svg>"


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 0 if "--help" in sys.argv else 2
    reports = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            reports.append(json.load(file))
    print("\n".join(draw(reports)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
