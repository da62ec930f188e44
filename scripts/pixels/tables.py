"""What was compared, as Markdown and as a page of crops."""

import base64
import datetime
import html
import io
import math
import os
import sys

import numpy
from PIL import Image

import fidelity
import runner

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
# Crops of the page, in pixels of the reduced picture, and how much they are enlarged.
CROP = (160, 120)
ZOOM = 3
LEFT, RIGHT = "l", "r"


def grid(header, aligned, rows):
    """A Markdown table whose source is readable too."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row):
        padded = (c.ljust(w) if a == LEFT else c.rjust(w) for c, w, a in zip(row, widths, aligned))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 2) if a == LEFT else "-" * (width + 1) + ":" for width, a in zip(widths, aligned))
    return "\n".join([line(cells[0]), f"|{rule}|", *map(line, cells[1:])])


def number(value, digits):
    """A figure, or nothing where there is none."""
    if value is None:
        return ""
    return "exact" if math.isinf(value) else f"{value:.{digits}f}"


def ratio(result, other):
    """CPU time as a multiple of another program's."""
    if not other or "best_ms" not in result:
        return None
    return result["best_ms"] / other["best_ms"]


def table(rows, options):
    """A row for each picture and program."""
    body = []
    for row in rows:
        results = row["results"]
        title = f"{row['picture']} ({row['note']})"
        for result in results.values():
            mib = None if result.get("over_start") is None else result["over_start"] / 2**20
            body.append(
                [
                    title,
                    result["title"],
                    number(result.get("best_ms"), 1),
                    number(result.get("median_ms"), 1),
                    number(ratio(result, results.get("vips")), 2),
                    number(ratio(result, results.get("sharp")), 2),
                    number(mib, 1),
                    f"{result['bytes'] / 1024:.0f}",
                    result["kind"],
                    number(result.get("psnr"), 2),
                    number(result.get("ssim"), 4),
                    number(result.get("psnr_linear"), 2),
                ]
            )
            # Said once.
            title = ""
    header = ["picture", "program", "ms", "median", "/ libvips", "/ sharp", "MiB", "KiB", "kind", "PSNR", "SSIM", "PSNR, linear"]
    aligned = [LEFT, LEFT, *[RIGHT] * 6, LEFT, *[RIGHT] * 3]
    # Columns of what was left out would be empty.
    kept = [column for column in range(len(header)) if any(line[column] for line in body)]
    pick = lambda line: [line[column] for column in kept]  # noqa: E731
    return grid(pick(header), pick(aligned), [pick(line) for line in body])


def mean_ratio(rows, name, other):
    """Geometric mean over the pictures of one program's CPU time as a multiple of another's."""
    logs = []
    for row in rows:
        value = ratio(row["results"][name], row["results"].get(other))
        if value:
            logs.append(math.log(value))
    return math.exp(sum(logs) / len(logs)) if logs else None


def gains(rows, name, other):
    """By how many dB one program's PSNR is above another's, of pictures that both keep in the same kind of file: a PNG, or
    chroma at full resolution, costs more bytes and is closer whatever was reduced how."""
    found = []
    for row in rows:
        pair = [row["results"].get(key, {}) for key in (name, other)]
        if all("psnr" in result for result in pair) and pair[0]["kind"] == pair[1]["kind"]:
            difference = pair[0]["psnr"] - pair[1]["psnr"]
            # Two equal pictures are no gain; one alone has no measure.
            if not math.isinf(difference):
                found.append(0.0 if math.isnan(difference) else difference)
    return found


def summary(rows):
    """Ours against each other program, over all pictures."""
    lines = []
    for key, title in (("vips", "libvips"), ("vips1", "libvips on one thread"), ("sharp", "sharp"), ("pillow", "Pillow")):
        times = mean_ratio(rows, "ours", key)
        if times is None:
            continue
        worst = max((ratio(row["results"]["ours"], row["results"].get(key)) or 0, row["picture"]) for row in rows)
        words = f"- {title}: ours takes {times:.2f} times its CPU time (geometric mean; at most {worst[0]:.2f}, {worst[1]})"
        gain = gains(rows, "ours", key)
        same = [row for row in rows if row["results"]["ours"]["kind"] == row["results"].get(key, {}).get("kind")]
        if same and len(same) < len(rows):
            words += f". Of the {len(same)} that both keep in the same kind of file {mean_ratio(same, 'ours', key):.2f} times"
        if gain:
            words += f", PSNR {sum(gain) / len(gain):+.2f} dB ({min(gain):+.2f} to {max(gain):+.2f})"
        lines.append(words + ".")
    return "\n".join(lines)


def text_lines(rows):
    """Legibility, where there is text."""
    lines = []
    for row in rows:
        found = [(r["title"], r["text_psnr"], r["text_contrast"]) for r in row["results"].values() if "text_psnr" in r]
        if found:
            told = (f"{title} {number(psnr, 2)} dB, {contrast:.1%}" for title, psnr, contrast in found)
            lines.append(f"Text of {row['picture']}, PSNR and contrast left: {'; '.join(told)}.")
    return "\n".join(lines)


def memory_line(rows, options):
    """How the measured memory lies to the plan's bound."""
    if options.no_peak:
        return ""
    used = max((row["beside_file"] / max(row["plan_peak_memory"], 1), row["picture"]) for row in rows)
    return f"Of the memory that its plan states, ours took beside the file at most {used[0]:.0%} ({used[1]})."


def markdown(rows, versions, options):
    """Everything, for people."""
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        f"{datetime.date.today().isoformat()}, {machine()}, revision {runner.revision()}, profile `{options.profile}`"
        + (", safe decoders" if options.safe_decoders else "")
        + f"; {told}. Best of {options.rounds} rounds, the programs in turn.",
    ]
    for tier in runner.TIERS:
        at_tier = [row for row in rows if row["tier"] == tier]
        if not at_tier:
            continue
        sizes = sorted({"{}x{}".format(*row["size"]) for row in at_tier})
        parts.append(f"**Tier `{tier}`** ({', '.join(sizes)}):")
        parts.append(table(at_tier, options))
        parts.extend(filter(None, (summary(at_tier), text_lines(at_tier), memory_line(at_tier, options))))
    parts.append(NOTES)
    return "\n\n".join(parts)


NOTES = """\
ms: CPU time of the process in user and kernel mode, all its threads, the file already in memory; the ratios are of the best
times, under 1 is faster. MiB: peak of resident memory of a fresh process over what it had before it read the file; the file,
the result and code used for the first time are in it. KiB and kind: the result, PNG or the chroma of a JPEG. PSNR (over RGB,
dB) and SSIM (of the luma): the decoded result against the ideal reduction, decoded whole and reduced by Lanczos in float64;
in the last column against the same in linear light. `the ideal as JPEG` is that ideal saved by Pillow at quality 90, 4:2:0:
no such JPEG comes much closer. The others write quality 90, 4:2:0 as asked; where ours chose another kind, its bytes, time
and PSNR are not those of the same task."""


def machine():
    """The processor and how many of it."""
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else 'unknown processor'}"


def check_marks(path):
    """Ends early when there is no place for the figures."""
    try:
        with open(path) as file:
            text = file.read()
    except OSError as error:
        sys.exit(f"--write: {error}")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"--write: {path} does not have {BEGIN} and then {END}, once each")


def write_between_marks(path, text):
    """Replaces what is between the marks."""
    with open(path) as file:
        before, rest = file.read().split(BEGIN)
    with open(path, "w") as file:
        file.write(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def crops(seen):
    """Pieces of the pictures: the middle, and where ours differs most from the ideal."""
    ideal = seen["ideal"]
    height, width = ideal.shape[:2]
    w, h = min(CROP[0], width), min(CROP[1], height)
    error = ((seen["ours"].astype(numpy.float64) - ideal) ** 2).sum(axis=2)
    sums = numpy.pad(error, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    window = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    top, left = numpy.unravel_index(window.argmax(), window.shape)
    places = (("the middle", (width - w) // 2, (height - h) // 2), ("where ours differs most", int(left), int(top)))
    found = []
    for words, left, top in places:
        box = (left, top, left + w, top + h)
        pieces = {name: fidelity.crop(samples, box) for name, samples in seen.items() if samples is not None}
        told = {name: fidelity.psnr(piece, pieces["ideal"]) for name, piece in pieces.items()}
        found.append({"words": f"{words}, at {left},{top}", "pieces": pieces, "psnr": told})
    return found


def data_url(samples):
    """Enlarged without smoothing."""
    picture = Image.fromarray(samples)
    picture = picture.resize((picture.width * ZOOM, picture.height * ZOOM), Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def write_page(rows, path):
    """A page that needs nothing beside itself."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Prepared pictures side by side</title>",
        "<style>body{font:15px sans-serif;margin:2em}figure{display:inline-block;margin:0 1em 1em 0}",
        f"img{{display:block}}figcaption{{padding:.3em 0}}</style><h1>Prepared pictures, {ZOOM} times enlarged</h1>",
        "<p>ideal: decoded whole and reduced by Lanczos in float64, not compressed. PSNR is that of the piece.</p>",
    ]
    for row in rows:
        size = "{}x{}".format(*row["size"])
        parts.append(f"<h2>{html.escape(row['picture'])}, {html.escape(row['tier'])}: {size}</h2>")
        for crop in row["crops"]:
            parts.append(f"<p>{html.escape(crop['words'])}</p>")
            for name, piece in crop["pieces"].items():
                told = "" if name == "ideal" else f", {number(crop['psnr'][name], 2)} dB"
                parts.append(f"<figure><img src='{data_url(piece)}' alt=''><figcaption>{name}{told}</figcaption></figure>")
    with open(path, "w") as file:
        file.write("\n".join(parts))
