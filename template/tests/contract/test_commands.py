"""The command line as an operator uses it: exit codes, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import KEY, StartService
from processes import Redis, Service, Upstream, command, new_key

PROJECT = Path(__file__).parents[2]


@pytest.mark.proves("ship.config")
def test_config_check_names_every_wrong_setting_at_once_and_masks_secrets(tmp_path: Path) -> None:
    result = command(
        "config",
        "check",
        folder=tmp_path,
        PORT="many",
        MODEL__PRIMARY="no colon",
        MODEL__API_KEY="hush-hush-key",
        RUN__DEADLINE_SECONDS="-1",
        GUARD__ATTEMPTS="1000",
        GUARD__ATTEMTPS="3",
        AUTH__KEYS="hush-hush-not-json",
        STATE_URL="ftp://hush-hush@host",
    )
    assert result.returncode == 2
    for name in (
        "PORT",
        "MODEL__PRIMARY",
        "RUN__DEADLINE_SECONDS",
        "GUARD__ATTEMPTS",
        "GUARD__ATTEMTPS",
        "AUTH__KEYS",
        "STATE_URL",
    ):
        assert f"- {name}:" in result.stderr, name
    assert "did you mean GUARD__ATTEMPTS" in result.stderr
    assert "hush-hush" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_outside_development_nothing_unsafe_starts(tmp_path: Path, environment: str) -> None:
    result = command("config", "check", folder=tmp_path, ENVIRONMENT=environment, AUTH__DISABLED="true")
    assert result.returncode == 2
    for name in ("MODEL__PRIMARY", "STATE_URL", "AUTH__KEYS", "AUTH__DISABLED"):
        assert f"- {name}:" in result.stderr, name


@pytest.mark.proves("ship.config")
def test_a_whole_production_configuration_is_accepted(tmp_path: Path) -> None:
    result = command(
        "config",
        "check",
        folder=tmp_path,
        ENVIRONMENT="production",
        MODEL__PRIMARY="openai-chat:gpt-4o",
        MODEL__API_KEY="key",
        STATE_URL="redis://redis:6379/0",
        AUTH__KEYS={"web": {"hash": new_key()[1], "tenant": "acme"}},
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.proves("ship.config")
def test_serve_refuses_what_config_check_refuses(tmp_path: Path) -> None:
    result = command("serve", folder=tmp_path, PORT="many")
    assert result.returncode == 2
    assert "- PORT:" in result.stderr


def test_the_example_file_is_what_config_env_prints(tmp_path: Path) -> None:
    example = PROJECT / ".env.example"
    if not example.exists():
        pytest.skip(".env.example is not part of this checkout")
    assert command("config", "env", folder=tmp_path).stdout == example.read_text(encoding="utf-8")


@pytest.mark.proves("security.secrets")
def test_config_show_masks_secrets(tmp_path: Path) -> None:
    shown = command("config", "show", folder=tmp_path, MODEL__API_KEY="hush-hush-key", PORT=8123).stdout
    assert "PORT=8123" in shown
    assert "MODEL__API_KEY=" in shown
    assert "hush-hush" not in shown


def test_ask_answers_on_the_terminal_without_key_and_server(tmp_path: Path) -> None:
    result = command("ask", "What is 12 km in miles?", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "7.46" in result.stdout


def test_ask_says_why_it_failed(tmp_path: Path, upstream: Upstream) -> None:
    upstream.plays({"fault": "status", "status": 500})
    result = command(
        "ask",
        "hello",
        folder=tmp_path,
        MODEL__PRIMARY="openai-chat:primary",
        MODEL__BASE_URL=f"{upstream.url}/v1",
        MODEL__API_KEY="key",
        GUARD__ATTEMPTS=1,
    )
    assert result.returncode == 1
    assert "No model" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_new_key_opens_the_door_and_only_its_hash_is_kept(tmp_path: Path, start_service: StartService) -> None:
    result = command("keys", "new", "web", "--tenant", "acme", folder=tmp_path)
    assert result.returncode == 0
    key = result.stdout.split("key (not shown again):")[1].split()[0]
    entry = result.stdout.split("AUTH__KEYS:")[1].strip()
    assert key not in entry
    service = start_service(AUTH__KEYS=entry)
    assert command("smoke", service.url, folder=tmp_path, SMOKE_KEY=key).returncode == 0
    assert command("smoke", service.url, folder=tmp_path, SMOKE_KEY="wrong").returncode == 1


def test_smoke_fails_where_nothing_answers(tmp_path: Path) -> None:
    result = command("smoke", "http://127.0.0.1:1", folder=tmp_path)
    assert result.returncode == 1
    assert "/livez" in result.stderr


def test_the_kill_switch_stops_every_replica_and_lets_go_again(
    tmp_path: Path, start_service: StartService, redis: Redis, upstream: Upstream
) -> None:
    replicas = [start_service(ready=False, STATE_URL=redis.url) for _ in range(2)]
    for service in replicas:
        service.wait_ready()
    assert command("flags", "set", "kill_switch", "on", folder=tmp_path, STATE_URL=redis.url).returncode == 0
    for service in replicas:
        service.answers(KEY, 503, "switched-off")
    assert upstream.attempts() == 0
    assert command("flags", "set", "kill_switch", "off", folder=tmp_path, STATE_URL=redis.url).returncode == 0
    for service in replicas:
        service.answers(KEY, 200, "You said")


@pytest.mark.parametrize("flag", [("kill_switch", "perhaps"), ("no_such_switch", "on")])
def test_a_wrong_flag_is_bad_usage(tmp_path: Path, flag: tuple[str, str]) -> None:
    assert command("flags", "set", *flag, folder=tmp_path).returncode == 2


@pytest.mark.proves("security.audit")
def test_the_services_own_output_is_a_verifiable_trail(tmp_path: Path, service: Service) -> None:
    service.answers(KEY, 200, "You said")
    service.logged(action="run")
    trail = tmp_path / "service.log"
    trail.write_text(service.output)
    assert command("audit", "verify", str(trail), folder=tmp_path).returncode == 0
    trail.write_text(service.output.replace('"outcome": "ok", "tenant"', '"outcome": "denied", "tenant"', 1))
    result = command("audit", "verify", str(trail), folder=tmp_path)
    assert result.returncode == 1
    assert "changed" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("config",), ("serve", "--help")], ids=str)
def test_help_is_there(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = command(*arguments, folder=tmp_path)
    assert "Usage" in result.stdout + result.stderr


def test_an_unknown_command_is_bad_usage(tmp_path: Path) -> None:
    assert command("servce", folder=tmp_path).returncode == 2
