"""Our own program: the benchmark `prepare`, which holds the library's core and nothing else."""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIERS = ("standard", "high")


def target_folder():
    """Where cargo builds."""
    return os.path.join(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))


def build(profile="release"):
    """Builds the runner and returns its path. Cargo's own progress goes to stderr."""
    command = ["cargo", "build", "--locked", "--profile", profile, "--no-default-features", "--bench", "prepare"]
    print(f"building the runner: {' '.join(command)}", file=sys.stderr)
    command += ["--message-format", "json-render-diagnostics"]
    process = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE)
    if process.returncode != 0:
        sys.exit("the runner does not build")
    for line in process.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "prepare":
            if message.get("executable"):
                return message["executable"]
    sys.exit("cargo built no runner")


def add_arguments(parser):
    """The flags of every script that runs the runner."""
    parser.add_argument("--profile", default="release", help="cargo profile of the runner [%(default)s]")
    parser.add_argument("--runner", metavar="FILE", help="use this runner instead of building one")
    parser.add_argument("--safe-decoders", action="store_true", help="ours: decoders without unsafe code and C only")


def path(arguments):
    """The runner that the flags name."""
    return os.path.abspath(arguments.runner) if arguments.runner else build(arguments.profile)


def revision():
    """The commit, with a plus when files differ from it."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "src", "Cargo.toml") else "")
