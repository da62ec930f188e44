"""What the checks share: where things lie, tools that may be missing, the contract's methods."""

import os
import re
import shutil
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SERVICE = "sightline.v1.ImageAnalysisService"
REQUIRE_TOOLS = bool(os.environ.get("SIGHTLINE_REQUIRE_TOOLS"))


def missing(what: str) -> None:
    """Skips the test, or fails it where everything must be there."""
    if REQUIRE_TOOLS:
        raise AssertionError(f"{what}; SIGHTLINE_REQUIRE_TOOLS is set, so this is a failure")
    raise unittest.SkipTest(what)


def tool(name: str, where_from: str) -> str:
    """The path of a command: of .venv, else of the PATH."""
    own = ROOT / ".venv" / "bin" / name
    path = str(own) if own.exists() else shutil.which(name)
    if path is None:
        missing(f"{name} is missing: {where_from}")
    return path


def documents(path: Path) -> list[dict]:
    """The YAML documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def methods() -> dict[str, bool]:
    """The contract's methods, and whether each is a stream."""
    text = (ROOT / "proto/sightline/v1/image_analysis.proto").read_text()
    found = {name: "stream" in argument for name, argument in re.findall(r"^\s*rpc (\w+)\(([^)]*)\)", text, re.M)}
    assert found, "the contract has no methods?"
    return found


def seconds(text: str) -> float:
    """A time such as 90s, 5m or 1h."""
    match = re.fullmatch(r"([0-9.]+)(ms|s|m|h)", text)
    assert match, f"{text!r} is no time"
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]


def settings_in_code() -> set[str]:
    """The SIGHTLINE_ variables that the server's command line declares."""
    return {
        name
        for file in (ROOT / "src").rglob("*.rs")
        for name in re.findall(r'env\s*=\s*"(SIGHTLINE_[A-Z0-9_]+)"', file.read_text())
    }


def anchors(page: Path) -> set[str]:
    """The names by which GitHub links to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}
