"""Holds a container image against what `deploy/Containerfile` promises, by a builder of images that runs here:
`image.py podman IMAGE BINARY`. Trains the example of digits by the binary, serves it from the image with a read-only
root, asks for one digit, and ends it with SIGTERM."""

import csv
import json
import os
import pathlib
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

BUILDER, IMAGE, BINARY = sys.argv[1:]
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "digits"
STARTING_SECONDS = 10
# The image's own user, to whom root can give the store; anybody else serves as himself.
USER = os.getuid() or 65532


def builder(*arguments):
    return subprocess.run([BUILDER, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def check_files(container, folder):
    """Nothing lies in the image but the server and its licences, beside what a builder mounts over."""
    file = folder / "image.tar"
    builder("export", "--output", str(file), container)
    with tarfile.open(file) as image:
        files = sorted(one.name for one in image if one.isfile() and one.size)
    licences = [f"usr/share/doc/modelyard/LICENSE-{name}" for name in ("APACHE", "MIT")]
    assert files == ["usr/local/bin/modelyard", *licences], files


def give_store(folder):
    """The options by which the server may write the store, which is all that it writes."""
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", str(USER), str(folder)], check=True)
        return []
    return ["--user", str(USER), *(["--userns", "keep-id"] if BUILDER == "podman" else [])]


def check_process(container):
    """Not root, and nowhere to write but the store."""
    process = pathlib.Path("/proc") / builder("inspect", "--format", "{{.State.Pid}}", container)
    [users] = [line.split()[1:] for line in (process / "status").read_text().splitlines() if line.startswith("Uid:")]
    assert set(users) == {str(USER)}, users
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    [options] = [mount[5] for mount in mounts if mount[4] == "/"]
    assert "ro" in options.split(","), options


def ask(address, path, body=None):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(address + path, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read()


def wait_until_ready(address, container):
    began = time.monotonic()
    while True:
        try:
            ask(address, "/v2/health/ready")
            return time.monotonic() - began
        except OSError:
            if time.monotonic() - began > STARTING_SECONDS:
                sys.exit(f"not ready after {STARTING_SECONDS} s: " + builder("logs", container))
            time.sleep(0.01)


def check_answer(address):
    with (EXAMPLE / "digits.csv").open() as rows:
        row = next(csv.DictReader(rows))
    digit = row.pop("digit")
    row = {name: float(value) for name, value in row.items()}
    answer = json.loads(ask(address, "/predict", {"input": row}))
    assert answer["prediction"]["digit"]["label"] == digit, answer
    return digit


def check(folder):
    store = folder / "store"
    subprocess.run([BINARY, "train", str(EXAMPLE), "--store", str(store)], check=True, stdout=subprocess.DEVNULL)
    os.chmod(folder, 0o755)
    address = f"127.0.0.1:{free_port()}"
    options = ["--read-only", "--network", "host", "--volume", f"{store}:/store", *give_store(store)]
    container = builder("run", "--detach", *options, IMAGE, "serve", "--listen", address)
    try:
        ready = wait_until_ready(f"http://{address}", container)
        digit = check_answer(f"http://{address}")
        check_process(container)
        check_files(container, folder)
        builder("stop", "--time", "40", container)
        code = builder("inspect", "--format", "{{.State.ExitCode}}", container)
        assert code == "0", code + builder("logs", container)
    finally:
        builder("rm", "--force", container)
    size = int(builder("image", "inspect", "--format", "{{.Size}}", IMAGE))
    print(f"image: {size / 1e6:.0f} MB, ready in {ready:.2f} s, a digit read as {digit}, not root, a read-only"
          " root, SIGTERM ends it with 0")


with tempfile.TemporaryDirectory() as place:
    check(pathlib.Path(place))
