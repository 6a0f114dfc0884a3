"""What a cold start on AWS Lambda imports: each handler beside pydantic-ai and the provider alone.

CPU seconds of an interpreter of its own, the best of seven; byte code is there, as in the zip.
"""

import json
import subprocess
from pathlib import Path

from sizes import Size
from timing import render, row, run

RUNS = 7
HANDLERS = "my_agent.serverless"
ALONE = ["pydantic_ai", "pydantic_ai.models.openai"]
PARTS = ["structlog", "pydantic_settings", "opentelemetry.sdk.metrics", "nopanic", "boto3", "mangum", "fastapi"]
# As in the zip, which has no colours for terminals; and as in the handler, which holds off the garbage collector.
CODE = """
import gc, json, sys, time
sys.modules.update(rich=None, pygments=None)
if COLLECTOR_OFF: gc.disable()
took = {}
for module in sys.argv[1:]:
    began = time.process_time()
    __import__(module)
    took[module] = time.process_time() - began
print(json.dumps(took))
"""


def measure(template: Path, folder: Path, _: Size) -> None:
    for variants in (["serverless"], ["queue", "serverless"], ["gateway", "serverless"]):
        project = folder / "-".join(variants)
        render(template, project, *variants)
        run("make", "--directory", project, "install")
        python = project / ".venv" / "bin" / "python"
        run(python, "-m", "compileall", "-q", project / ".venv" / "lib", project / "src")
        alone = sum(best(python, ALONE).values())
        for handler in ["api", "worker"] if "queue" in variants else ["api"]:
            took = sum(best(python, [f"{HANDLERS}.{handler}"]).values())
            row(
                f"{' and '.join(variants)}: {handler}",
                f"{took * 1000:.0f} ms",
                f"{took / alone:.2f} of {alone:.3f} s (to reach: 1.3)",
            )
    for module, seconds in best(python, [*ALONE, *PARTS, f"{HANDLERS}.api"], collector=False).items():
        row(f"  {module}, after those above it", f"{seconds * 1000:.0f} ms", "without the garbage collector")


def best(python: Path, modules: list[str], *, collector: bool = True) -> dict[str, float]:
    """CPU seconds of each import in this order; what is not installed is left out."""
    found = [module for module in modules if is_there(python, module)]
    environment_of = {"MODEL__PRIMARY": "openai:gpt", "STATE_URL": "dynamodb://state", "PATH": "/usr/bin:/bin"}
    code = CODE.replace("COLLECTOR_OFF", str(not collector))
    runs = [json.loads(subprocess.check_output([python, "-c", code, *found], env=environment_of)) for _ in range(RUNS)]
    return {module: min(run[module] for run in runs) for module in found}


def is_there(python: Path, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
