"""The endpoints that are compared: how each is installed and started, and what it is asked.

Each answers a question with one call of the same model. Those with an agent have the same instructions and two tools.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from first_answer import free_port
from servers import MEASURED, process, wait_for
from timing import UV, environment, row

HERE = Path(__file__).parent / "peers"
SERVER = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0")
# Pinned, so that a ratio of today can be compared with one of tomorrow.
PACKAGES = {
    "langgraph": ("langgraph==1.2.24", "langchain==1.5.2", "langchain-openai==1.7.4", *SERVER),
    "openai-agents": ("openai-agents==0.24.0", *SERVER),
    "litellm": ("litellm[proxy]==1.108.7",),
}
KEY = f"sk-{hashlib.sha256(b'bench').hexdigest()}"  # guards nothing; LiteLLM wants it to look like this
EVERYTHING = {
    "MODEL__API_KEY": "none",
    "STATE_URL": "memory://",
    "AUTH__KEYS": json.dumps(
        {"bench": {"hash": f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}", "tenant": "bench"}}
    ),
    # Counted, but never reached.
    "LIMITS__REQUESTS_PER_MINUTE": "100000000",
    "BUDGET__TOKENS_PER_DAY": "100000000000",
    "BUDGET__USD_PER_DAY": "1000000",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.01",
}
RUN, CHAT = ("/v1/runs", "/docs"), ("/v1/chat/completions", "/health/liveliness")  # asked at, and whether it is up
MODEL = "gpt-4.1-mini"  # it has a price, as most models have
QUESTION = "What is the news of day %d?"
BARE, OURS = "pydantic-ai", "gateway"


@dataclass
class Endpoint:
    """One of those that are compared."""

    slug: str
    name: str
    command: list[str | Path]  # `PORT` stands for the port
    variables: dict[str, str] = field(default_factory=dict)
    path: str = RUN[0]
    up: str = RUN[1]
    body: str = json.dumps({"input": QUESTION})
    once: bool = False  # whether requests carry an Idempotency-Key
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    @contextmanager
    def started(self, folder: Path, cores: set[int] = MEASURED) -> Iterator["subprocess.Popen[bytes]"]:
        """Its process, once it answers; by default on the core that only measured servers have."""
        self.port = free_port()
        command = [str(self.port) if part == "PORT" else part for part in self.command]
        variables = self.variables | {"PORT": str(self.port)}
        with process(folder, self.slug, *command, cores=cores, **variables) as server:
            wait_for(f"http://127.0.0.1:{self.port}{self.up}", server, folder / f"{self.slug}.log")
            yield server


def ours(project: Path, upstream: str, slug: str, name: str, model: str = MODEL, **settings: str) -> Endpoint:
    """A rendered gateway with everything on."""
    variables = EVERYTHING | {
        "MODEL__PRIMARY": f"openai-chat:{model}",
        "MODEL__BASE_URL": upstream,
        "OTEL_EXPORTER_OTLP_ENDPOINT": upstream.removesuffix("/v1"),
    }
    command: list[str | Path] = [project / ".venv" / "bin" / "my-agent", "serve"]
    return Endpoint(slug, name, command, variables | settings, up="/readyz", once=True)


def peer(commands: Path, project: Path, upstream: str, slug: str, name: str, model: str = MODEL) -> Endpoint:
    """An endpoint of `bench/peers/`, in the environment whose commands these are."""
    [instructions] = (project / "src").glob("*/agent/instructions.md")
    variables = {"UPSTREAM": upstream, "MODEL": model, "INSTRUCTIONS": instructions.read_text()}
    command: list[str | Path] = [commands / "python", HERE / f"with_{slug.replace('-', '_')}.py", "PORT"]
    return Endpoint(slug, name, command, variables)


def bare(project: Path, upstream: str, model: str = MODEL) -> Endpoint:
    commands = project / ".venv" / "bin"
    return peer(commands, project, upstream, BARE, "bare FastAPI + pydantic-ai", model)


def litellm(commands: Path, upstream: str) -> Endpoint:
    command: list[str | Path] = [commands / "litellm", "--config", HERE / "litellm.yaml", "--telemetry", "False"]
    command += ["--host", "127.0.0.1", "--port", "PORT"]
    variables = {"UPSTREAM": upstream, "LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Endpoint("litellm", "LiteLLM's proxy", command, variables, *CHAT, chat(MODEL))


def chat(model: str) -> str:
    """The body of a request to a Chat Completions endpoint."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": QUESTION}]})


def all_of(project: Path, folder: Path, upstream: str, redis: str, *, peers: bool) -> list[Endpoint]:
    """Every endpoint; without the `peers` only those that need nothing but a rendered project."""
    its = project / ".venv" / "bin"
    found = [
        bare(project, upstream),
        ours(project, upstream, OURS, "ours, everything on"),
        ours(project, upstream, "cached", "ours, answers from the cache", CACHE__TTL_SECONDS="86400"),
    ]
    found[-1].body, found[-1].once = json.dumps({"input": "What is the news?"}), False
    if not peers:
        return found
    found.append(ours(project, upstream, "redis", "ours, everything on, state in Redis", STATE_URL=redis))
    found.append(ours(project, upstream, "chat", "ours, Chat Completions"))
    found[-1].path, found[-1].body = CHAT[0], chat("default")
    found.append(peer(its, project, upstream, "starlette", "Starlette + HTTP client"))
    found.append(peer(its, project, upstream, "openai", "FastAPI + OpenAI's SDK"))
    installed = {name: commands for name in PACKAGES if (commands := _installed(folder / name, name))}
    if commands := installed.get("langgraph"):
        found.append(peer(commands, project, upstream, "langgraph", "FastAPI + LangGraph agent"))
    if commands := installed.get("openai-agents"):
        found.append(peer(commands, project, upstream, "openai-agents", "FastAPI + OpenAI's Agents SDK"))
    if commands := installed.get("litellm"):
        found.append(litellm(commands, upstream))
    return found


def _installed(folder: Path, name: str) -> Path | None:
    try:
        return environment(folder, *PACKAGES[name])
    except RuntimeError as problem:
        row(name, "-", f"could not be installed: {str(problem).strip().splitlines()[-1]}")
        return None


def versions(commands: Path) -> dict[str, str]:
    """Of all packages in the environment whose commands these are."""
    listed = subprocess.check_output(
        [UV, "pip", "list", "--quiet", "--format", "json", "--python", commands / "python"]
    )
    return {package["name"]: package["version"] for package in json.loads(listed)}


@contextmanager
def model_server(folder: Path, project: Path) -> Iterator[str]:
    """The address of a model server that costs next to nothing."""
    port = free_port()
    python = project / ".venv" / "bin" / "python"
    with process(folder, "upstream", python, HERE / "upstream.py", str(port)) as server:
        wait_for(f"http://127.0.0.1:{port}/", server, folder / "upstream.log")
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of an empty Redis, and its process."""
    port = free_port()
    command = ("redis-server", "--port", str(port), "--save", "", "--appendonly", "no")
    with process(folder, "redis", *command) as server:
        yield f"redis://127.0.0.1:{port}/0", server.pid
