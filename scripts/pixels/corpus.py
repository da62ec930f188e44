"""Prepares every file of Pillow's test corpus and of other folders, and says what became of each. Run it by
scripts/decode-corpus."""

import argparse
import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings

import numpy
from PIL import Image

import fidelity
import runner
from tables import grid

HERE = os.path.dirname(os.path.abspath(__file__))
PINNED = os.path.join(HERE, "corpus.txt")
MIB = 2**20
# Pillow decodes in this process: it refuses what has more than twice as many pixels.
Image.MAX_IMAGE_PIXELS = 50_000_000
# Address space of this process, which Pillow decodes hostile files in.
OWN_LIMIT = 6 * 2**30
# Pillow's names of the formats that ours reads. It must not try its others: some run programs.
READ = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
# What ends the script with an error.
FATAL = ("crashed", "hung", "over memory")
COLUMNS = ("as is", "anew", "unsupported", "corrupt", "too large", "other refusal", *FATAL, "differs")


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/decode-corpus",
        description="Prepares every file of Pillow's test corpus, each in a process of its own with bounds on memory and "
        "time, and compares the results with Pillow's own. Ends with 1 when a file crashed, hung or took more memory than "
        "its plan states.",
    )
    parser.add_argument("folder", nargs="*", help="more files, or folders of files, to prepare")
    parser.add_argument("--tier", choices=runner.TIERS, default="standard", help="[%(default)s]")
    parser.add_argument("--no-pillow", action="store_true", help="leave out Pillow's corpus")
    parser.add_argument("--limit-mib", type=int, default=3072, help="address space of each process [%(default)s]")
    parser.add_argument("--seconds", type=int, default=30, help="time for each file [%(default)s]")
    parser.add_argument("--allowance-mib", type=float, default=2.0, help="what a peak may lie above its plan [%(default)s]")
    parser.add_argument("--psnr", type=float, default=25.0, help="a picture below this differs, in dB [%(default)s]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once [%(default)s]")
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of tables")
    runner.add_arguments(parser)
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def fetch(folder):
    """Pillow's Tests/images in `folder`: its source by pip, which checks the pinned hash before it looks inside. pip wants
    to know the version from the source itself; the setuptools and pybind11 of the environment are enough for that, and
    nothing is compiled."""
    with open(PINNED) as pinned:
        text = pinned.read()
    wanted = re.search(r"sha256:([0-9a-f]{64})", text).group(1)
    stamp = os.path.join(folder, "stamp")
    images = os.path.join(folder, "images")
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == wanted:
                return images
    shutil.rmtree(folder, ignore_errors=True)
    say(f"fetching {text.splitlines()[-1].split()[0]}, about 50 MB")
    with tempfile.TemporaryDirectory() as download:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
        if subprocess.run([*command, "--dest", download, "--requirement", PINNED], stdout=sys.stderr).returncode:
            sys.exit("pip could not fetch Pillow's source")
        (name,) = os.listdir(download)
        unpack(os.path.join(download, name), wanted, folder)
    with open(stamp, "w") as file:
        file.write(wanted)
    return images


def unpack(archive, wanted, folder):
    """The images of the archive, once its hash is right."""
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        sys.exit(f"{archive} has the SHA-256 {found}, not {wanted}")
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = member.name.partition("/Tests/")[2]
            if member.isfile() and inside.startswith("images/"):
                member.name = inside
                tar.extract(member, folder, filter="data")


def files_of(paths):
    """All files in the folders, in order."""
    found = []
    for path in paths:
        if os.path.isfile(path):
            found.append(path)
        elif not os.path.isdir(path):
            sys.exit(f"{path} is not there")
        for folder, _, names in os.walk(path):
            found.extend(os.path.join(folder, name) for name in names)
    return sorted(found)


@dataclasses.dataclass
class Result:
    """What became of a file."""

    file: str
    # One of COLUMNS, or `gone` for a file that could not be read from the disk.
    what: str
    # The library's words, or the process's.
    words: str = ""
    # Of an unsupported file, what it looks like.
    detected: str = ""
    # In bytes.
    plan: int | None = None
    beside_file: int | None = None
    cpu_ms: float | None = None
    # In dB, against Pillow; None when that was not compared.
    psnr: float | None = None
    remarks: list = dataclasses.field(default_factory=list)


def run(program, path, options, out):
    """Prepares one file in a process of its own; the shell sets its bounds."""
    command = [program, "--once", "--json", "--tier", options.tier, "--out", out, path]
    if options.safe_decoders:
        command.insert(1, "--safe-decoders")
    shell = f'ulimit -v {options.limit_mib * 1024} && ulimit -c 0 && exec "$@"'
    return subprocess.run(
        ["sh", "-c", shell, "sh", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=options.seconds,
        env={**os.environ, "RUST_BACKTRACE": "0"},
    )


def examine(program, path, name, options):
    """Prepares a file and looks at what comes out."""
    with tempfile.TemporaryDirectory() as out:
        try:
            process = run(program, path, options, out)
        except subprocess.TimeoutExpired:
            return Result(name, "hung", f"no answer within {options.seconds} s")
        complaints = process.stderr.decode(errors="replace").strip()
        try:
            report = json.loads(process.stdout)
        except ValueError:
            report = None
        if process.returncode or report is None:
            last = complaints.splitlines()[:2]
            return Result(name, "crashed", f"ended with {process.returncode}: {' '.join(last)}")
        result = classify(report, name, options)
        if "panicked" in complaints:
            result.remarks.append("a panic was caught: " + " ".join(complaints.split())[:160])
        judge(result, report, path, options)
    return result


def classify(report, name, options):
    """The runner's report as a result, not yet compared with Pillow."""
    kinds = {
        "unsupported": "unsupported",
        "corrupt": "corrupt",
        "too_many_pixels": "too large",
        "oversize": "too large",
        "too_much_memory": "too large",
        "unreadable": "gone",
    }
    result = Result(name, {"as_is": "as is", "new": "anew"}.get(report["outcome"], ""))
    if not result.what:
        result.what = kinds.get(report["error"]["kind"], "other refusal")
        result.words = report["error"]["message"]
        result.detected = report["error"].get("detected") or ""
    if report["cpu_ms"]:
        result.cpu_ms = report["cpu_ms"]["best"]
    result.plan = report["plan_peak_memory"]
    if report["peak"]:
        result.beside_file = report["peak"]["beside_file"]
    # Without a plan nothing may be decoded: the allowance is all there is.
    bound = (result.plan or 0) + options.allowance_mib * MIB
    if result.beside_file is not None and result.beside_file > bound:
        result.words = f"took {result.beside_file / MIB:.1f} MiB, its plan states {(result.plan or 0) / MIB:.1f}"
        result.what = "over memory"
    return result


def judge(result, report, path, options):
    """Compares with what Pillow makes of the file."""
    if report["outcome"] == "refused":
        seen = pillow_format(path)
        if seen and result.what in ("unsupported", "corrupt", "other refusal"):
            result.remarks.append(f"refused, but Pillow reads it as {seen}")
        return
    if report["outcome"] not in ("as_is", "new"):
        return
    try:
        ours = fidelity.decode(report["out"])
    except Exception as error:
        if report["outcome"] == "as_is":
            result.remarks.append(f"prepared as is, but Pillow cannot read it: {brief(error)}")
        else:
            result.what = "differs"
            result.remarks.append(f"Pillow cannot read the prepared bytes: {brief(error)}")
        return
    if [ours.shape[1], ours.shape[0]] != report["size"]:
        result.what = "differs"
        result.remarks.append(f"the prepared bytes hold {ours.shape[1]}x{ours.shape[0]}, said was {report['size']}")
        return
    found = {}
    for use_profile in (True, False):
        try:
            found[use_profile] = fidelity.psnr(ours, reduced(path, report["size"], use_profile))
        except Exception as error:
            result.remarks.append(f"prepared, but Pillow cannot read the file: {brief(error)}")
            return
    # Whether a profile is followed is not what is looked for here.
    result.psnr = max(found.values())
    if result.psnr < options.psnr:
        if result.what not in FATAL:
            result.what = "differs"
        result.remarks.append(
            f"{result.psnr:.1f} dB against Pillow ({report['source_type']}, {report['original']} to {report['size']}, "
            f"{report['media_type']}, warnings {', '.join(report['warnings']) or 'none'})"
        )


def brief(error):
    return f"{type(error).__name__}: {str(error)[:120]}"


def pillow_format(path):
    """What Pillow reads the file as, or nothing when it cannot decode it either."""
    try:
        with Image.open(path, formats=READ) as picture:
            picture.load()
            return picture.format
    except Exception:
        return None


def reduced(path, size, use_profile):
    """The file as Pillow decodes and reduces it."""
    with Image.open(path, formats=READ) as picture:
        whole = fidelity.to_rgb(picture, use_profile)
    if list(whole.size) != size:
        whole = whole.resize(size, Image.Resampling.LANCZOS)
    return numpy.asarray(whole)


def extension(name):
    return os.path.splitext(name)[1].lower() or "(none)"


def counts(results):
    """How many files of each extension became what. Extensions of which no file is read share a row."""
    mixed = {extension(result.file) for result in results if result.what != "unsupported"}
    rest = f"{len({extension(result.file) for result in results} - mixed)} others"
    by_extension = collections.defaultdict(collections.Counter)
    for result in results:
        by_extension[extension(result.file) if extension(result.file) in mixed else rest][result.what] += 1
        by_extension["**all**"][result.what] += 1
    order = sorted(by_extension, key=lambda name: (name == "**all**", name == rest, -by_extension[name].total(), name))
    used = [column for column in COLUMNS if by_extension["**all**"][column] or column in FATAL]
    body = [
        [name, by_extension[name].total(), *(by_extension[name][column] or "" for column in used)] for name in order
    ]
    return grid(["extension", "files", *used], ["l", *["r"] * (len(used) + 1)], body)


def listing(title, lines):
    return [f"\n**{title}** ({len(lines)})\n", *(f"- {line}" for line in lines)] if lines else []


def markdown(results, options):
    """Counts, then everything that is worth a look, the worst first."""
    parts = [
        f"{len(results)} files, tier `{options.tier}`, revision {runner.revision()}"
        + (", safe decoders" if options.safe_decoders else ""),
        "",
        counts(results),
    ]
    for what in FATAL:
        parts += listing(what, [f"`{result.file}`: {result.words}" for result in results if result.what == what])
    parts += listing(
        "differs", [f"`{r.file}`: {'; '.join(r.remarks)}" for r in results if r.what == "differs"]
    )
    rest = [r for r in results if r.remarks and r.what != "differs"]
    for title, words in (
        ("a panic was caught", "a panic was caught"),
        ("refused, but Pillow reads it", "but Pillow reads"),
        ("prepared, but Pillow does not read it", "but Pillow cannot"),
    ):
        lines = [f"`{r.file}`: {'; '.join(r.remarks)}. {r.words}" for r in rest if any(words in m for m in r.remarks)]
        parts += listing(title, lines)
    seen = collections.Counter(r.detected for r in results if r.what == "unsupported")
    parts += ["", "Unsupported, by what they look like: " + ", ".join(f"{n} {d}" for d, n in seen.most_common()) + "."]
    parts += ["", totals(results)]
    return "\n".join(parts)


def totals(results):
    """The extremes."""
    words = []
    planned = [r for r in results if r.plan and r.beside_file is not None]
    if planned:
        most = max(planned, key=lambda r: r.beside_file / r.plan if r.plan > 8 * MIB else 0)
        words.append(
            f"The most memory of what was planned, of plans above 8 MiB: {most.beside_file / most.plan:.0%} of "
            f"{most.plan / MIB:.0f} MiB, `{most.file}`."
        )
        over = max(planned, key=lambda r: r.beside_file - r.plan)
        words.append(f"The most above a plan: {(over.beside_file - over.plan) / MIB:.2f} MiB, `{over.file}`.")
    timed = [r for r in results if r.cpu_ms is not None]
    if timed:
        slow = max(timed, key=lambda r: r.cpu_ms)
        words.append(f"The slowest: {slow.cpu_ms:.0f} ms of CPU time, `{slow.file}`.")
    return " ".join(words)


def main():
    options = arguments()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (OWN_LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1]))
    program = runner.path(options)
    corpus = [] if options.no_pillow else [fetch(os.path.join(runner.target_folder(), "decode-corpus"))]
    roots = [*corpus, *options.folder]
    files = files_of(roots)
    if not files:
        sys.exit("there are no files to prepare")

    def name_of(path):
        root = next((root for root in roots if path.startswith(os.path.join(root, ""))), None)
        return os.path.relpath(path, root) if root else path

    results = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(examine, program, path, name_of(path), options) for path in files]
        for done, future in enumerate(waiting, 1):
            results.append(future.result())
            if done % 100 == 0 or done == len(waiting):
                say(f"{done} of {len(waiting)} files")
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=1))
    else:
        print(markdown(results, options))
    if any(result.what in FATAL for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
