"""Compares the preparation of pictures with libvips, sharp and Pillow. Run it by scripts/compare-pixels."""

import argparse
import fnmatch
import json
import os
import statistics
import sys

import numpy

import fidelity
import pictures as sources
import programs
import runner
import tables

# Not a program: what JPEG alone costs in fidelity.
IDEAL = "ideal"


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/compare-pixels",
        description="Compares the preparation of pictures with libvips, sharp and Pillow: CPU time, memory, fidelity. "
        "Prints Markdown; pictures and target/pixels/compare.html stay for people to look at.",
    )
    parser.add_argument("--tier", choices=(*runner.TIERS, "both"), default="both", help="[%(default)s]")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="timed rounds, programs in turn [%(default)s]")
    parser.add_argument("--pictures", default="*", metavar="GLOB,GLOB", help="only these pictures")
    parser.add_argument("--programs", default="*", metavar="NAME,NAME", help="of vips, vips1, sharp, pillow, ideal")
    parser.add_argument("--json", action="store_true", help="print every figure as JSON instead of tables")
    parser.add_argument("--write", metavar="FILE", help="also put the tables between the figures' marks of a document")
    parser.add_argument("--no-peak", action="store_true", help="leave out memory")
    parser.add_argument("--no-fidelity", action="store_true", help="leave out PSNR, SSIM and compare.html")
    runner.add_arguments(parser)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round is needed")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def among(name, globs):
    return any(fnmatch.fnmatch(name, glob) for glob in globs.split(","))


def measure_times(contenders, picture, size, rounds, folder):
    """CPU times of each program: one run that is not counted, whose result is kept, then rounds in turn."""
    files, times = {}, {}
    for program in contenders:
        files[program.name] = os.path.join(folder, f"{picture.name}.{program.name}.jpg")
        program.prepare(picture, size, files[program.name])
        times[program.name] = []
    for turn in range(rounds):
        # Another one begins each round: none always runs behind the same other.
        first = turn % len(contenders)
        for program in contenders[first:] + contenders[:first]:
            times[program.name].append(program.prepare(picture, size))
    return files, times


def judge(result, kinds, text):
    """Fidelity of a file against both ideals."""
    seen = fidelity.decode(result["out"])
    gamma = kinds["gamma"]
    if seen.shape != gamma.shape:
        raise programs.Failed(f"{result['out']} is {seen.shape[1]}x{seen.shape[0]}, not {gamma.shape[1]}x{gamma.shape[0]}")
    result["psnr"] = fidelity.psnr(seen, gamma)
    result["ssim"] = fidelity.ssim(seen, gamma)
    result["psnr_linear"] = fidelity.psnr(seen, kinds["linear"])
    if text:
        result["text_psnr"] = fidelity.psnr(fidelity.crop(seen, text), fidelity.crop(gamma, text))
        result["text_contrast"] = fidelity.contrast(fidelity.crop(seen, text), fidelity.crop(gamma, text))
    return seen


def scaled(box, original, size):
    """A box of the original in pixels of the reduced picture."""
    if not box:
        return None
    return tuple(round(edge * size[axis % 2] / original[axis % 2]) for axis, edge in enumerate(box))


def compare_picture(picture, ours, contenders, tier, options, folder):
    """Everything about one picture at one tier: a row."""
    report = ours.report(picture, folder)
    size, original = report["size"], report["original"]
    say(f"{tier}: {picture.name} to {size[0]}x{size[1]}")
    row = {
        "picture": picture.name,
        "note": picture.note,
        "tier": tier,
        "original": original,
        "size": size,
        "plan_peak_memory": report["plan_peak_memory"],
        "beside_file": report["peak"]["beside_file"],
        "results": {},
    }
    files, times = measure_times([ours, *contenders], picture, size, options.rounds, folder)
    files["ours"] = report["out"]
    for program in [ours, *contenders]:
        row["results"][program.name] = {
            "title": program.title,
            "best_ms": min(times[program.name]),
            "median_ms": statistics.median(times[program.name]),
            "runs_ms": times[program.name],
            "over_start": None if options.no_peak else program.peak(picture, size),
            "out": files[program.name],
        }
    if not options.no_fidelity:
        seen = compare_fidelity(picture, row, options, folder)
        row["crops"] = tables.crops(seen)
    for result in row["results"].values():
        result["kind"] = fidelity.kind(result["out"])
        result["bytes"] = os.path.getsize(result["out"])
    return row


def compare_fidelity(picture, row, options, folder):
    """Adds fidelity to the row's results; returns the samples of those that are shown."""
    size = tuple(row["size"])
    kinds = fidelity.ideals(picture.path, size, os.path.join(os.path.dirname(folder), "ideal"))
    if among(IDEAL, options.programs):
        out = os.path.join(folder, f"{picture.name}.{IDEAL}.jpg")
        fidelity.Image.fromarray(kinds["gamma"]).save(out, "JPEG", quality=90, subsampling="4:2:0")
        row["results"][IDEAL] = {"title": "the ideal as JPEG", "out": out}
    text = scaled(picture.text, row["original"], size)
    seen = {name: judge(result, kinds, text) for name, result in row["results"].items()}
    return {"ours": seen["ours"], "libvips": seen.get("vips"), "ideal": kinds["gamma"]}


def main():
    options = arguments()
    if options.write:
        tables.check_marks(options.write)
    folder = os.path.join(runner.target_folder(), "pixels")
    program = runner.path(options)
    chosen = [picture for picture in sources.make(os.path.join(folder, "pictures")) if among(picture.name, options.pictures)]
    if not chosen:
        sys.exit(f"there is no picture {options.pictures}")
    contenders, versions = programs.others()
    contenders = [contender for contender in contenders if among(contender.name, options.programs)]
    tiers = runner.TIERS if options.tier == "both" else (options.tier,)
    rows, failures = [], []
    for contender in contenders:
        contender.start()
    for tier in tiers:
        out = os.path.join(folder, tier)
        os.makedirs(out, exist_ok=True)
        ours = programs.Ours(program, tier, options.safe_decoders)
        ours.start()
        for picture in chosen:
            try:
                rows.append(compare_picture(picture, ours, contenders, tier, options, out))
            except programs.Failed as failed:
                say(f"  FAILED: {failed}")
                failures.append(str(failed))
                # Whoever ended is started again for the next picture.
                for contender in (ours, *contenders):
                    if contender.process.poll() is not None:
                        contender.start()
        ours.stop()
    for contender in contenders:
        contender.stop()
    if failures:
        # Half the figures do not replace whole ones.
        options.write = None
    if rows:
        finish(rows, versions, options, folder)
    if failures:
        sys.exit("\n".join(["not everything was compared:", *failures]))


def finish(rows, versions, options, folder):
    """Prints and writes what was found."""
    if not options.no_fidelity:
        page = os.path.join(folder, "compare.html")
        tables.write_page(rows, page)
        say(f"crops side by side: {os.path.relpath(page)}")
    text = tables.markdown(rows, versions, options)
    if options.write:
        tables.write_between_marks(options.write, text)
        say(f"wrote the figures into {options.write}")
    if options.json:
        plain = [{key: value for key, value in row.items() if key != "crops"} for row in rows]
        head = {"revision": runner.revision(), "profile": options.profile, "rounds": options.rounds, "versions": versions}
        print(json.dumps({**head, "rows": plain}, indent=1, default=float))
    else:
        print(text)


if __name__ == "__main__":
    numpy.seterr(all="raise", under="ignore")
    main()
