"""Line charts as SVG, without a library: light, or dark where the reader's system is."""

import math
from collections import namedtuple
from html import escape

import plan

Series = namedtuple("Series", "name entry wide points")

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 210, 54, 56

# Colours on a light and on a dark page.
COLORS = {
    "dotsock": ("#cf222e", "#ff7b72"),
    "dotsock_rust": ("#8250df", "#d2a8ff"),
    "raw_block": ("#57606a", "#8b949e"),
    "raw_cork_env": ("#1f2328", "#e6edf3"),
    "zmq_ipc": ("#0969da", "#58a6ff"),
    "nng_ipc": ("#1a7f37", "#3fb950"),
    "nanomsg_ipc": ("#9a6700", "#d29922"),
}
PAGE = {"page": ("#ffffff", "#0d1117"), "text": ("#1f2328", "#e6edf3"),
        "quiet": ("#57606a", "#8b949e"), "grid": ("#d8dee4", "#30363d")}


def style():
    """A class for each colour: `fill` and `stroke` follow the class."""
    def rules(shade):
        return "".join(f".{name}{{color:{shades[shade]}}}" for name, shades in (PAGE | COLORS).items())
    return ("<style>" + rules(0) + "text,circle,.page{fill:currentColor}"
            "line,polyline{stroke:currentColor}polyline{fill:none;stroke-linejoin:round}"
            "@media(prefers-color-scheme:dark){" + rules(1) + "}</style>")


def draw(results, folder):
    """Draws what was measured; the names of the files, each with what it shows."""
    charts = [latency, throughput, broadcast, memory]
    drawn = [(chart.__name__ + ".svg", *chart(results)) for chart in charts]
    for name, text, series, axes in drawn:
        if series:
            (folder / name).write_text(svg(text, series, *axes))
    return [(name, text) for name, text, series, _ in drawn if series]


def series_of(entries, value_at, xs):
    """One line for each peer of which something was measured."""
    found = []
    for entry in entries:
        points = [(x, value_at(entry, x)) for x in xs]
        points = [(x, y) for x, y in points if y]
        if points:
            wide = entry.startswith("dotsock")
            found.append(Series(plan.name_of(entry), entry, wide, points))
    return found


def latency(results):
    metrics = {0: "p50_us", 1: "p90_us", 2: "p99_us", 3: "p999_us"}
    entries = ["raw_block", "dotsock", "dotsock_rust", "zmq_ipc", "nng_ipc", "nanomsg_ipc"]
    series = series_of(entries, lambda e, x: results.median("rtt same", e, metrics[x]), metrics)
    ticks = dict(enumerate(("50 %", "90 %", "99 %", "99.9 %")))
    return ("Round trip of 64 bytes, both processes on one core, µs", series,
            ("of all round trips", ticks))


def throughput(results):
    ticks = {i: plan.size_text(size) for i, size in enumerate(plan.SIZES)}
    entries = ["raw_block", "raw_cork_env", "dotsock", "dotsock_rust", "zmq_ipc", "nng_ipc",
               "nanomsg_ipc"]
    value = lambda e, x: results.median(f"tput {plan.SIZES[x]}", e, "msgs_per_s")
    return ("Server to one client, messages a second", series_of(entries, value, ticks),
            ("size of a payload", ticks))


def broadcast(results):
    ticks = {i: f"{clients:,}" for i, clients in enumerate(plan.CLIENTS)}
    entries = ["raw_block", "raw_cork_env", "dotsock", "dotsock_rust", "zmq_ipc", "nng_ipc",
               "nanomsg_ipc"]
    value = lambda e, x: results.median(f"fanout {plan.CLIENTS[x]}", e, "msgs_per_s")
    return ("Broadcast of 256 bytes, deliveries a second", series_of(entries, value, ticks),
            ("clients", ticks))


def memory(results):
    ticks = {math.log10(clients): f"{clients:,}" for clients in plan.IDLE}
    entries = ["raw_block", "dotsock", "dotsock_rust", "zmq_ipc", "nng_ipc", "nanomsg_ipc"]
    value = lambda e, x: results.median(f"idle {round(10 ** x)}", e, "rss_mb")
    return ("Memory of a server with idle clients, MB", series_of(entries, value, ticks),
            ("clients", ticks))


def svg(title, series, x_text, x_ticks):
    """Lines over a linear x axis with named ticks and a logarithmic y axis."""
    ys = [y for line in series for _, y in line.points]
    y_ticks = steps_around(min(ys), max(ys))
    low, high = math.log10(y_ticks[0]), math.log10(y_ticks[-1])
    first, last = min(x_ticks), max(x_ticks)

    def at_x(x):
        return LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def at_y(y):
        return HEIGHT - BOTTOM - (math.log10(y) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">',
        style(),
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        label(LEFT, 30, title, size=16, weight=600),
    ]
    for tick in y_ticks:
        y = at_y(tick)
        out.append(rule(LEFT, y, WIDTH - RIGHT, y))
        out.append(label(LEFT - 8, y + 4, short(tick), anchor="end"))
    for x, text in x_ticks.items():
        out.append(rule(at_x(x), HEIGHT - BOTTOM, at_x(x), HEIGHT - BOTTOM + 5))
        out.append(label(at_x(x), HEIGHT - BOTTOM + 20, text, anchor="middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(label(middle, HEIGHT - 14, x_text, anchor="middle", kind="quiet"))
    for line in series:
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in line.points)
        width = 3 if line.wide else 1.6
        out.append(f'<polyline class="{line.entry}" points="{path}" stroke-width="{width}"/>')
        out += [f'<circle class="{line.entry}" cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" '
                f'r="{width + 0.8}"/>' for x, y in line.points]
    names = [(line, at_y(line.points[-1][1])) for line in series]
    for line, y in spread(names):
        x = at_x(line.points[-1][0])
        weight = 600 if line.wide else 400
        out.append(label(max(x, WIDTH - RIGHT) + 10, y + 4, line.name, kind=line.entry,
                         weight=weight))
    return "\n".join([*out, "</svg>", ""])


def steps_around(low, high):
    """Steps of a logarithmic axis: 1, 2, 5, 10, or only the powers of ten where they suffice."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(exponents) > 4 else (1, 2, 5)
    steps = [factor * 10.0 ** exponent for exponent in exponents for factor in factors]
    first = max((i for i, step in enumerate(steps) if step <= low), default=0)
    last = min((i for i, step in enumerate(steps) if step >= high), default=len(steps) - 1)
    return steps[first:max(last, first + 1) + 1]


def spread(names, gap=17):
    """Moves labels apart that would overlap."""
    placed = []
    for line, y in sorted(names, key=lambda pair: pair[1]):
        if placed:
            y = max(y, placed[-1][1] + gap)
        placed.append((line, y))
    below = placed[-1][1] - (HEIGHT - BOTTOM)
    return [(line, y - max(below, 0)) for line, y in placed]


def label(x, y, text, anchor="start", kind="text", size=13, weight=400):
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'font-size="{size}" font-weight="{weight}">{escape(text)}</text>')


def rule(x1, y1, x2, y2):
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def short(value):
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g} {unit}"
    return f"{value:g}"
