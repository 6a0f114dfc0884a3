"""Memory of a gateway and of the bare endpoint after each minute of load: does it grow?"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from endpoints import KEY, OURS, bare, model_server, ours
from load import load
from servers import memory_mib
from sizes import Size
from timing import installed, row

CONNECTIONS = 16


def measure(template: Path, folder: Path, size: Size) -> dict[str, Any]:
    project = installed(template, folder, "gateway")
    stretches, seconds = size.soak
    mib: dict[str, list[float]] = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(model_server(folder, project))
        for one in (bare(project, upstream), ours(project, upstream, OURS, "ours, everything on")):
            pid = stack.enter_context(one.started(folder)).pid
            its = mib[one.slug] = []
            for _ in range(stretches):
                load(one.address, one.body, seconds, CONNECTIONS, KEY, once=one.once)
                its.append(memory_mib(pid))
            row(f"{one.name}: {stretches * seconds:g} s", f"{its[-1]:.0f} MiB", f"{its[0]:.0f} MiB after {seconds:g} s")
    plot = {"title": "Memory under load", "across": f"times {seconds:g} s", "unit": "MiB"}
    series = {slug: list(enumerate(its, start=1)) for slug, its in mib.items()}
    return {"mib": mib, "lines": {"soak": plot | {"series": series}}}
