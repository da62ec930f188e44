"""The programs that are compared, each a process that answers one request after the other."""

import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Seconds that one answer may take.
PATIENCE = 120


class Failed(Exception):
    """A program gave no answer; the words say which and why."""


class Program:
    """One program. `title` is its name in the tables."""

    def __init__(self, name, title, command, environment=None):
        self.name = name
        self.title = title
        self.command = command
        self.environment = {**os.environ, **(environment or {})}
        self.process = None

    def start(self):
        """Starts the process that will answer."""
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment
        )

    def stop(self):
        """Ends it: at the end of its input it ends by itself."""
        if self.process:
            self.process.stdin.close()
            self.process.wait(timeout=PATIENCE)
            self.process = None

    def ask(self, line):
        """One answer to one line."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise Failed(f"{self.title} ended with {self.process.wait()}")
        return json.loads(answer)

    def request(self, picture, size, out=None):
        return {
            "file": picture.path,
            "width": size[0],
            "height": size[1],
            "profile": picture.profile,
            "orient": picture.orient,
            "out": out,
        }

    def prepare(self, picture, size, out=None):
        """CPU time in ms of one preparation."""
        answer = self.ask(json.dumps(self.request(picture, size, out)))
        if "error" in answer:
            raise Failed(f"{self.title} on {picture.name}: {answer['error']}")
        return answer["ms"]

    def peak(self, picture, size):
        """Memory in bytes that a fresh process takes for it: over the start, with the file, the result and code."""
        command = [*self.command, "--once", json.dumps(self.request(picture, size))]
        return json.loads(output(command, self.environment))["over_start"]


class Ours(Program):
    """The runner, which chooses the size by itself: there is one process for each tier."""

    def __init__(self, runner, tier, safe_decoders):
        self.runner = [runner, "--json", "--tier", tier, *(["--safe-decoders"] if safe_decoders else [])]
        super().__init__("ours", "**ours**", [*self.runner, "--stdin", "--times", "--repeat", "1"])

    def report(self, picture, out=None):
        """What the runner says of one preparation in a fresh process."""
        command = [*self.runner, "--once", *(["--out", out] if out else []), picture.path]
        report = json.loads(output(command, self.environment))
        if report["outcome"] not in ("new", "as_is"):
            raise Failed(f"ours on {picture.name}: {report['error']}")
        return report

    def prepare(self, picture, size, out=None):
        answer = self.ask(picture.path)
        if answer["error"]:
            raise Failed(f"ours on {picture.name}: {answer['error']}")
        return answer["cpu_ms"]["best"]

    def peak(self, picture, size):
        return self.report(picture)["peak"]["over_start"]


def output(command, environment):
    """What a command writes."""
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=PATIENCE)
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}")
    return process.stdout


def others():
    """The programs to compare with, of those that are there, and their versions."""
    python = [sys.executable, "-B", os.path.join(HERE, "worker.py")]
    programs = [
        Program("vips", "libvips", [*python, "vips"]),
        Program("vips1", "libvips, 1 thread", [*python, "vips"], {"VIPS_CONCURRENCY": "1"}),
    ]
    import PIL
    import pyvips

    versions = {"libvips": ".".join(str(pyvips.version(part)) for part in range(3)), "Pillow": PIL.__version__}
    modules = os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "node", "node_modules")
    if shutil.which("node") and os.path.isdir(os.path.join(modules, "sharp")):
        node = ["node", os.path.join(HERE, "worker.js")]
        environment = {"NODE_PATH": modules}
        programs.append(Program("sharp", "sharp", node, environment))
        told = json.loads(output([*node, "--versions"], {**os.environ, **environment}))
        versions["sharp"] = f"{told['sharp']} (libvips {told['vips']}, {told['threads']} thread(s))"
    else:
        print("sharp is not there: it is skipped", file=sys.stderr)
    programs.append(Program("pillow", "Pillow", [*python, "pillow"]))
    return programs, versions
