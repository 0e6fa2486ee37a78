"""vdistill-core in an environment that has nothing else, made by the Dockerfile's own steps: `make wheel` runs this.

It reads the Dockerfile and does what a builder would: the `pip install` line with the wheels in dist/, the variables,
and the entry point as another user where that is possible, which is then asked by the health check's own command. In
the same environment the commands that need no torch work, and the others say what to install.

    python tests/try_core.py build/core
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOP = sorted((ROOT / "tests" / "old_workspaces").glob("*.zip"))[-1]
MOST_MIB = 350
TOKEN = "a token for a trial"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its arguments."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def install(folder: Path, steps: list[tuple[str, str]]) -> None:
    """Make the environment as the image has it."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    (line,) = [rest for name, rest in steps if name == "RUN" and rest.startswith("pip install")]
    words = [str(ROOT / "dist") if word == "/wheels" else word for word in shlex.split(line)[1:]]
    environment = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    subprocess.run([folder / "bin" / "python", "-m", "pip", "-q", *words], check=True, env=environment, cwd=ROOT)
    mib = sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 / 2**20
    print(f"vdistill-core[mcp,serve] with all that it needs: {mib:.0f} MiB on the disk")
    assert mib <= MOST_MIB


def run(folder: Path, *arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command that ends with this exit code."""
    command = [folder / "bin" / "vdistill", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
    return done


def commands(folder: Path, shop: Path) -> None:
    """What works without torch, and what says that it does not."""
    for command in ([], ["label"], ["distill"], ["index"], ["query"], ["serve"], ["bench"]):
        assert "Usage" in run(folder, *command, "--help", cwd=shop).stdout
    assert len(json.loads(run(folder, "query", "red mug", "-k", "3", "--json", cwd=shop).stdout)["results"]) == 3
    run(folder, "index", "catalog", "--pack", "shop.vdx", "--thumbnails", cwd=shop)
    found = run(folder, "query", "red mug", "--index", "shop.vdx", "--gallery", "page.html", "--json", cwd=shop).stdout
    assert json.loads(found)["results"]
    for arguments, lacks in (
        (["distill"], "torch"),
        (["label", "catalog", "--teacher", "qwen2-vl"], "scipy"),
        (["bench"], "scipy"),
        (["index", "catalog", "--export", "vectors.parquet"], "pyarrow"),
    ):
        error, hint = run(folder, *arguments, cwd=shop, code=1).stderr.strip().splitlines()
        assert error.startswith("error: "), error
        assert error.endswith(f"needs {lacks}"), error
        assert hint.startswith("hint: pip install vdistill"), hint


def serve(folder: Path, steps: list[tuple[str, str]], shop: Path) -> None:
    """Start the entry point, and ask the health check."""
    values = dict(steps)
    variables = dict(one.split("=", 1) for name, rest in steps if name == "ENV" for one in shlex.split(rest))
    program, *rest = [*json.loads(values["ENTRYPOINT"]), *json.loads(values["CMD"])]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as cache:
        variables |= {"VDISTILL_TOKEN": TOKEN, "XDG_CACHE_HOME": cache, "VDISTILL_PORT": str(port)}
        Path(cache).chmod(0o777)
        command = [folder / "bin" / program, *(str(shop / "shop.vdx") if "shop.vdx" in word else word for word in rest)]
        process, who = started(command, variables, int(values["USER"]))
        with process:
            try:
                healthy(folder, values["HEALTHCHECK"], port, process)
                ask(port)
            finally:
                process.terminate()
            assert process.wait(60) == 0
    print(f"the container's entry point answers, as {who}")


def started(command: list[str], variables: dict[str, str], user: int) -> tuple[subprocess.Popen[str], str]:
    """The process, and as whom it runs: as another user where this one may, and where that one may read Python."""
    options = {"cwd": "/", "env": variables, "stderr": subprocess.PIPE, "text": True}
    if os.geteuid() == 0:
        try:
            return subprocess.Popen(command, user=user, group=user, extra_groups=[], **options), f"user {user}"
        except PermissionError:
            pass
    return subprocess.Popen(command, **options), "the user of this trial"


def healthy(folder: Path, check: str, port: int, process: subprocess.Popen[str]) -> None:
    """Wait until the health check's command is content."""
    _, *command = json.loads(check[check.index("[") :].replace(":8000", f":{port}"))
    deadline = time.monotonic() + 60
    while subprocess.run([folder / "bin" / "python", *command], capture_output=True, check=False).returncode:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ask(port: int) -> None:
    """A search, and the image of its result, which the pack has: with the token alone."""
    address = f"http://127.0.0.1:{port}"
    assert status(f"{address}/v1/search?query=red") == 401
    known = {"Authorization": f"Bearer {TOKEN}"}
    found = json.load(urllib.request.urlopen(urllib.request.Request(f"{address}/v1/search?query=red", headers=known)))
    image = urllib.request.Request(address + found["results"][0]["image"], headers=known)
    assert urllib.request.urlopen(image).read(2) == b"\xff\xd8"


def status(address: str) -> int:
    """What is answered without the token."""
    try:
        with urllib.request.urlopen(address) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def main() -> None:
    """All of it."""
    folder, steps = Path(sys.argv[1]).resolve(), instructions()
    install(folder, steps)
    with tempfile.TemporaryDirectory() as home:
        shop = Path(home)
        shop.chmod(0o755)
        with zipfile.ZipFile(SHOP) as packed:
            packed.extractall(shop)
        commands(folder, shop)
        serve(folder, steps, shop)


main()
