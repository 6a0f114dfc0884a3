"""The stack of deploy/compose: its files fit together, nothing has more rights than it needs, and it is watched."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from conftest import KEY, settings_for
from support.blue_green import Stand
from support.processes import Upstream, environment, free_port
from support.prometheus import promtool, yaml
from support.waiting import eventually

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
STACK: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = [name for name, service in SERVICES.items() if "OPERATIONS__PORT" in service.get("environment", {})]
STORES = [name for name, service in SERVICES.items() if "healthcheck" in service]
PORTS = {"prometheus": 9090, "alertmanager": 9093, "collector": 4318}  # their own defaults

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def mounts(name: str) -> dict[PurePosixPath, Path]:
    """The files and folders of the project that a container has, by their paths in it."""
    split = (volume.split(":") for volume in SERVICES[name].get("volumes", []))
    return {PurePosixPath(target): FOLDER / source for source, target, *_ in split if source.startswith(".")}


def seen_at(name: str, path: str) -> Path:
    """The project's file that a container has at this path."""
    for target, source in mounts(name).items():
        if PurePosixPath(path).is_relative_to(target):
            return source / PurePosixPath(path).relative_to(target)
    raise AssertionError(f"{name} has nothing at {path}")


@each_service
def test_each_mounted_file_exists(name: str) -> None:
    kept_by_the_scripts = FOLDER / "run"
    own = [path for path in mounts(name).values() if not path.is_relative_to(kept_by_the_scripts)]
    assert [path for path in own if not path.exists()] == []


@each_service
def test_each_named_volume_is_declared(name: str) -> None:
    named = {volume.split(":")[0] for volume in SERVICES[name].get("volumes", []) if volume[0] != "."}
    assert named <= set(STACK["volumes"])


@pytest.mark.proves("security.least_privilege")
@each_service
def test_each_container_has_the_least_rights_and_bounds(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]


@pytest.mark.proves("security.least_privilege")
def test_only_the_proxy_is_reachable_and_it_reaches_no_store() -> None:
    for name, service in SERVICES.items():
        published = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
        assert published == (["8000:8000"] if name == "proxy" else []), name
        assert service["networks"], name
    assert STACK["networks"]["stores"] == {"internal": True}
    assert SERVICES["proxy"]["networks"] == ["front"]
    assert all(SERVICES[name]["networks"] == ["stores"] for name in STORES)


@each_service
def test_each_image_has_a_version(name: str) -> None:
    default = re.fullmatch(r"\$\{[A-Z]+_IMAGE:-(.+)\}", SERVICES[name]["image"])
    assert default
    assert re.search(r":v?\d+\.\d+[\w.-]*$|:deploy-first$", default[1])


def test_no_store_forgets() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    for name in STORES:
        assert any(volume.startswith(f"{name}:") for volume in SERVICES[name]["volumes"])


@pytest.mark.proves("observe.alerts")
def test_prometheus_has_the_rules_and_the_job_that_they_read() -> None:
    promtool("check", "config", FOLDER / "prometheus.yaml")
    config = read("prometheus.yaml")
    (file,) = [word for word in SERVICES["prometheus"]["command"] if word.startswith("--config.file=")]
    there = PurePosixPath(file.partition("=")[2])
    (rules,) = config["rule_files"]
    assert seen_at("prometheus", str(there)) == FOLDER / "prometheus.yaml"
    assert seen_at("prometheus", str(there.parents[1] / rules.removeprefix("../"))).is_file()
    (job,) = config["scrape_configs"]
    assert job["job_name"] == STACK["name"]
    told = SERVICES["blue"]["environment"]["ENVIRONMENT"]
    assert job["relabel_configs"] == [{"target_label": "environment", "replacement": told}]
    (alertmanager,) = config["alerting"]["alertmanagers"]
    assert alertmanager["static_configs"][0]["targets"] == [f"alertmanager:{PORTS['alertmanager']}"]


@pytest.mark.proves("observe.alerts")
def test_alertmanager_has_its_configuration() -> None:
    (file,) = [word for word in SERVICES["alertmanager"]["command"] if word.startswith("--config.file=")]
    assert seen_at("alertmanager", file.partition("=")[2]).is_file()


@pytest.mark.proves("observe.dashboards")
def test_grafana_has_the_dashboards_and_their_data() -> None:
    (provider,) = read("grafana/dashboards.yaml")["providers"]
    assert list(seen_at("grafana", provider["options"]["path"]).glob("*.json"))
    sources = read("grafana/datasources.yaml")["datasources"]
    assert [source["type"] for source in sources if source.get("isDefault")] == ["prometheus"]
    for source in sources:
        assert source["url"] == f"http://{source['type']}:{PORTS[source['type']]}"
        assert set(SERVICES[source["type"]]["networks"]) & set(SERVICES["grafana"]["networks"])


@pytest.mark.proves("observe.traces")
def test_the_collector_takes_what_the_service_sends() -> None:
    config = read("collector.yaml")
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(config[kind])
    for name in set(OURS) - {"migrate"}:
        address = SERVICES[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert address == f"http://collector:{PORTS['collector']}"
        assert "watch" in SERVICES[name]["networks"]
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(f":{PORTS['collector']}")
    assert seen_at("collector", config["exporters"]["file"]["path"]).parent == FOLDER / "run" / "traces"


@pytest.fixture
def stand(tmp_path: Path, upstream: Upstream) -> Iterator[Stand]:
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not on PATH (Debian: apt-get install haproxy)")
    stand = Stand(tmp_path, KEY)
    yield stand
    stand.close()


@pytest.mark.proves("observe.metrics")
@pytest.mark.proves("ship.safely")
def test_a_deploy_changes_the_tables_first_and_tells_prometheus_what_runs(stand: Stand, upstream: Upstream) -> None:
    first = stand.image("v1", **settings_for(upstream))
    second = stand.image("v2", **settings_for(upstream), MIGRATION_FAILS="yes")
    code, told = stand.run("deploy", first, "--seconds", "0")
    assert code == 0, told
    (colour,) = stand.state["colours"]
    ports = {SERVICES[name]["environment"]["OPERATIONS__PORT"] for name in OURS}
    assert scraped(stand) == {f"{colour}:{port}" for port in ports}

    code, told = stand.run("deploy", second, "--seconds", "0")
    assert code == 1
    assert "the tables cannot be changed" in told
    assert (stand.engine / "migrations").read_text().split() == [first, second]
    assert {path.stem for path in stand.engine.glob("*.json")} == {"images", colour}, "nothing of it was started"
    assert stand.state["main"] == "1"
    assert scraped(stand) == {f"{colour}:{port}" for port in ports}


@pytest.mark.proves("ship.safely")
def test_a_proxy_that_restarts_asks_for_the_addresses_before_it_trusts_the_kept_ones(tmp_path: Path) -> None:
    """After a restart of the machine a colour may have the address that the other one had."""
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not on PATH (Debian: apt-get install haproxy)")
    names = "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
    kept = "4 service {} {} 127.0.0.{} 2 0 {} 0 10 6 3 4 6 0 0 0 localhost 8000 - 0 0 - - 0"
    lines = ["1", f"# {names}", kept.format(1, "blue", 8, 256), kept.format(2, "green", 9, 0)]
    (tmp_path / "servers.state").write_text("\n".join(lines) + "\n")
    own = {"RUN_FOLDER": str(tmp_path), "PROXY_BIND": f"127.0.0.1:{free_port()}"}
    command = ["haproxy", "-db", "-f", str(FOLDER / "haproxy.cfg")]
    colours = {"BLUE": "localhost:8000", "GREEN": "localhost:8000"}
    with subprocess.Popen(command, env=environment() | own | colours, stderr=subprocess.DEVNULL) as proxy:
        try:
            said = eventually(lambda: said_by(tmp_path / "haproxy.sock"), what="the proxy says its servers")
        finally:
            proxy.terminate()
    found = {line.split()[3]: line.split()[4:8:3] for line in said.splitlines() if " service " in line}
    assert {name: weight for name, (_, weight) in found.items()} == {"blue": "256", "green": "0"}
    assert not {address for address, _ in found.values()} & {"127.0.0.8", "127.0.0.9"}


def said_by(path: Path) -> str:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"show servers state\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return ""


def scraped(stand: Stand) -> set[str]:
    groups = (json.loads(file.read_text()) for file in (stand.folder / "run" / "scraped").glob("*.json"))
    return {target for (group,) in groups for target in group["targets"]}
