"""Runs an example client against a Sightline server and checks what it prints, the calls it repeats, TLS and token.

Usage: check.py BINARY NAME FOLDER COMMAND...

BINARY is a sightline with the embedded stack. COMMAND is run in FOLDER with a bucket and keys as further arguments.
Exits with 1 and says why when the client does not do what clients/README.md promises.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from front import RETRY_DELAY, Front

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["photos", "coffee.png", "summit.jpeg", "no-such-picture.jpeg"]
TOKEN = "a-token-of-the-test"
TIME_LIMIT = 120  # seconds for one run of a client


class Surprise(Exception):
    """A client did something else than it should."""


def expect(condition, message):
    if not condition:
        raise Surprise(message)


@contextmanager
def sightline(binary):
    """A server with the embedded stack; gives its address."""
    command = [binary, "serve", "--embedded", "--listen", "127.0.0.1:0", "--log-format", "json"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield listening_address(server.stderr)
    finally:
        server.terminate()
        server.wait()


def listening_address(log):
    seen = []
    for line in log:
        seen.append(line)
        found = re.search(r'"address":"([^"]+)"', line)
        if "listening" in line and found:
            # The log is read on, so that the server is never held up by a full pipe.
            threading.Thread(target=log.read, daemon=True).start()
            return found[1]
    raise Surprise("the server does not start:\n" + "".join(seen))


def run(folder, command, environment):
    """What the client prints, and its exit code."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}
    # Proxies of the machine are not for loopback; grpc-go before 1.40 repeats calls only when told.
    own |= {"LC_ALL": "C.UTF-8", "NO_PROXY": "*", "no_proxy": "*", "GRPC_GO_RETRY": "on"}
    done = subprocess.run(
        [*command, *ARGUMENTS], cwd=folder, env=own | environment, capture_output=True, text=True, timeout=TIME_LIMIT
    )
    return done.returncode, done.stdout, done.stderr


def sections(text):
    """The indented lines under each line that is not."""
    found, lines = {}, []
    for line in text.splitlines():
        if line.startswith("  "):
            lines.append(line)
        else:
            lines = found.setdefault(line, [])
    return found


def check_boxes(lines, media_type, width, height):
    expect(lines[:1] == [f"  {media_type}, {width} x {height} pixels"], f"the picture is not as it is: {lines}")
    expect(len(lines) > 1, "there is no label")
    for line in lines[1:]:
        box = re.fullmatch(r"  [a-z ]+ 0\.\d\d \((\d+),(\d+)\)-\((\d+),(\d+)\)", line)
        expect(box, f"not a label with a box: {line!r}")
        left, top, right, bottom = map(int, box.groups())
        expect(left < right <= width and top < bottom <= height, f"the box is not in the picture: {line!r}")


def check_error(lines, code, reason):
    """That the first line is an error of this code, in the spelling of any language, and with this reason."""
    found = re.match(r"  (\w+) (\S+|\(no reason\)): .", lines[0] if lines else "")
    expect(found, f"not an error: {lines}")
    expect(found[1].replace("_", "").upper() == code.replace("_", ""), f"not {code}: {lines}")
    expect(reason is None or found[2] == reason, f"not {reason}: {lines}")


def check_printed(code, text, errors):
    expect(code == 0, f"it ends with {code}")
    found = sections(text)
    expect("2 succeeded, 1 failed" in found, "the summary of the stream is missing")
    check_boxes(found.get("labels of s3://photos/coffee.png", []), "image/png", 600, 400)
    check_boxes(found.get("item coffee.png", []), "image/png", 600, 400)
    check_boxes(found.get("item summit.jpeg", []), "image/jpeg", 1280, 681)
    check_error(found.get("item no-such-picture.jpeg", []), "NOT_FOUND", "OBJECT_NOT_FOUND")
    mistakes = found.get("a request with mistakes", [])
    check_error(mistakes, "INVALID_ARGUMENT", "FIELD_INVALID")
    for field in ("image.s3_object.key", "features"):
        expect(any(line.startswith(f"    {field}: ") for line in mistakes), f"no violation of {field}: {mistakes}")
    # Either end may see first that the time is over, so there may be a reason or none.
    check_error(found.get("a deadline that is too short", []), "DEADLINE_EXCEEDED", None)


def max_attempts():
    """How often the service config lets AnalyzeImage be called."""
    for method in json.loads((ROOT / "deploy/service-config.json").read_text())["methodConfig"]:
        if any(name.get("method") == "AnalyzeImage" for name in method["name"]):
            return method["retryPolicy"]["maxAttempts"]
    raise Surprise("deploy/service-config.json has no retry policy for AnalyzeImage")


def check_client(binary, folder, command):
    with tempfile.TemporaryDirectory() as temporary, sightline(binary) as address:
        key, certificate = Path(temporary, "key.pem"), Path(temporary, "certificate.pem")
        make_certificate(key, certificate)

        def attempt(what, check, environment):
            outcome = run(folder, command, environment)
            try:
                check(*outcome)
            except Surprise as surprise:
                raise Surprise(f"{what}: {surprise}\n--- printed\n{outcome[1]}--- errors\n{outcome[2]}") from None

        attempt("plain", check_printed, {"SIGHTLINE_ADDRESS": address})

        def through(front):
            front_address = f"127.0.0.1:{front.port}"
            return {"SIGHTLINE_ADDRESS": front_address, "SIGHTLINE_TLS_CA": str(certificate), "SIGHTLINE_TOKEN": TOKEN}

        pems = key.read_bytes(), certificate.read_bytes()
        with Front(address, TOKEN, *pems, failures=1) as front:
            attempt("TLS, token, one failure", check_printed, through(front))
            first, counts = front.outcomes[:2], front.outcomes
            expect(first == ["UNAVAILABLE", "OK"], f"the call was not repeated after UNAVAILABLE: {counts}")
            expect(counts.count("INVALID_ARGUMENT") == 1, f"a hopeless call was repeated: {counts}")

        with Front(address, TOKEN, *pems, failures=sys.maxsize) as front:
            attempt("only failures", check_given_up, through(front))
            calls, most = len(front.outcomes), max_attempts()
            expect(calls == most, f"{calls} calls, but the service config says {most}")

        with Front(address, "another-token", *pems, failures=0) as front:
            attempt("wrong token", check_refused, through(front))


def check_given_up(code, text, errors):
    expect(code == 1, f"it ends with {code}")
    lines = sections(text).get("labels of s3://photos/coffee.png", [])
    check_error(lines, "UNAVAILABLE", "OVERLOADED")
    expect(f"    try again in {RETRY_DELAY} s" in lines, f"the time of RetryInfo is missing: {lines}")


def check_refused(code, text, errors):
    expect(code == 1, f"it ends with {code}")
    check_error(sections(text).get("labels of s3://photos/coffee.png", []), "UNAUTHENTICATED", None)


def make_certificate(key, certificate):
    """A certificate for 127.0.0.1 that signs itself, so it is its own CA."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=Sightline test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)


def main(binary, name, folder, *command):
    try:
        check_client(binary, folder, command)
    except (Surprise, subprocess.TimeoutExpired, OSError) as error:
        sys.exit(f"{name}: {error}")
    print(f"{name}: labels, stream, errors, deadline, repeated calls, TLS and token are as they should be")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
