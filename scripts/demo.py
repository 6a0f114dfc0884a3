"""Renders the default service into a temporary folder, serves it and sends it a question (`make demo`).

Needs Python 3.11, git and a package index; no key, no server. Installs only into .tools and the temporary folder.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from get_uv import ROOT, TOOLS, ToolMissing, uv_path

QUESTION = "Convert 12 km to miles."
START_SECONDS = 60
# Bypass the shell's proxy: the service is on this machine.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SERVICE = "my-agent"


class DemoFailed(Exception):
    """The demo cannot go on. The message is one sentence for the user."""


def step(text: str) -> None:
    print(f"{time.monotonic() - STARTED:5.1f} s  {text}", flush=True)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; show its output only if it fails."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise DemoFailed(f"`{Path(command[0]).name} {command[1]}` failed; see its output above.")


def check_machine(wanted: str) -> int:
    """Check the requirements before the demo starts. Returns the port."""
    if sys.version_info < (3, 11):  # noqa: UP036 — only here may an older Python turn up
        raise DemoFailed(f"This needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}.")
    if not shutil.which("git"):
        raise DemoFailed("This needs git, which is not on PATH (on Debian: apt-get install git).")
    port = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
    if not 0 < port < 65_536:
        raise DemoFailed(f"PORT must be a number from 1 to 65535, not {wanted!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise DemoFailed(f"Port {port} is busy; choose another one: PORT={port + 1} make demo") from None
    return port


def render(uv: str, project: Path) -> None:
    """Do the work of `copier copy`, with a copier in .tools."""
    copier = TOOLS / "copier"
    run(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, copier)
    tools = ["copier", "copier-template-extensions"]
    run(uv, "pip", "install", "--quiet", "--python", copier, "--constraint", ROOT / "requirements.lock", *tools)
    run(copier / "bin" / "copier", "copy", "--trust", "--defaults", "--quiet", "--vcs-ref", "HEAD", ROOT, project)


def install(uv: str, project: Path) -> None:
    """Do the work of the project's `make install`, without the development tools."""
    venv = project / ".venv"
    run(uv, "venv", "--quiet", "--python", sys.executable, venv)
    run(uv, "pip", "sync", "--quiet", "--python", venv, "--require-hashes", project / "requirements.lock")
    run(uv, "pip", "install", "--quiet", "--python", venv, "--no-deps", "--editable", project)


def serve(project: Path, port: int) -> subprocess.Popen[str]:
    """Start the service and wait until it is ready."""
    # The service reads settings from the environment, so it gets only these variables of the shell.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    log = (project / "demo.log").open("w")
    service = subprocess.Popen(
        [project / ".venv" / "bin" / SERVICE, "serve"],
        cwd=project,
        env=environment | {"PORT": str(port)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C reaches only this script, which then stops the service
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and service.poll() is None:
        try:
            HTTP.open(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
            return service
        except OSError:
            time.sleep(0.05)
    stop(service)
    print("".join((project / "demo.log").read_text().splitlines(keepends=True)[-20:]), file=sys.stderr)
    raise DemoFailed(f"The service did not get ready. Its last lines are above; the whole log is {project}/demo.log.")


def ask(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/runs",
        json.dumps({"input": QUESTION}).encode(),
        {"Content-Type": "application/json"},
    )
    with HTTP.open(request, timeout=30) as response:
        return str(json.load(response)["output"])


def stop(service: subprocess.Popen[str]) -> None:
    if service.poll() is None:
        service.send_signal(signal.SIGINT)
    try:
        service.wait(15)
    except subprocess.TimeoutExpired:
        service.kill()


def main() -> None:
    port = check_machine(os.environ.get("PORT", "8000"))
    project = Path(tempfile.mkdtemp(prefix="agent-template-demo-")) / SERVICE
    uv = uv_path()
    step("copier renders the default service")
    render(uv, project)
    step("uv installs the locked packages")
    install(uv, project)
    step("the service starts, with the offline model")
    service = serve(project, port)
    try:
        step("the demo sends a question over HTTP")
        answer = ask(port)
        step("done\n")
        print(f"question  {QUESTION}\nanswer    {answer}\n")
        print(f"address   http://127.0.0.1:{port} (POST /v1/runs; /docs lists all routes)\nproject   {project}")
        if sys.stdin.isatty() and sys.stdout.isatty():
            print("stop      Ctrl-C", flush=True)
            service.wait()
        else:
            print(f"stopped   since there is no terminal; start again: cd {project} && make run", flush=True)
    finally:
        stop(service)


if __name__ == "__main__":
    STARTED = time.monotonic()
    try:
        main()
    except (DemoFailed, ToolMissing) as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        print("\nstopped")
