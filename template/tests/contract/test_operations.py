"""Probes, metrics, logs, traces and shutdown."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator

import httpx2
import pytest

from conftest import StartService, client_of
from support.collector import Collector, attributes
from support.processes import Redis, Service, Upstream
from support.waiting import becomes, eventually

Client = httpx2.AsyncClient

METRICS = [
    "http_server_request_duration_seconds_count",
    "gen_ai_client_token_usage_count",
    "gen_ai_client_operation_duration_seconds_count",
    "agent_run_duration_seconds_count",
    "dependency_call_duration_seconds_count",
    "dependency_breaker_state",
]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.mark.proves("reliability.health")
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
async def test_the_probes_need_no_key(service: Service, path: str) -> None:
    async with client_of(service, None) as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.proves("reliability.health")
async def test_a_replica_is_not_ready_before_it_has_reached_its_state_store(
    start_service: StartService, own_redis: Redis
) -> None:
    own_redis.kill()
    service = start_service(ready=False, STATE_URL=own_redis.url)
    async with client_of(service, None) as client:

        async def status(path: str) -> int:
            try:
                return (await client.get(path)).status_code
            except httpx2.TransportError:
                return 0

        async with asyncio.timeout(20):
            while await status("/livez") != 200:
                await asyncio.sleep(0.05)
        assert [await status(path) for path in ("/startupz", "/readyz")] == [503, 503]
        own_redis.start()
        service.wait_ready()
        assert await status("/startupz") == 200
        own_redis.kill()
        assert await status("/readyz") == 200, "later outages do not make it unready"
        assert "unreachable" in (await client.get("/readyz")).text


@pytest.mark.proves("reliability.health")
async def test_an_open_breaker_is_reported_but_does_not_fail_readiness(
    start_service: StartService, upstream: Upstream
) -> None:
    service = start_service(GUARD__BREAKER_MINIMUM_CALLS=2, GUARD__ATTEMPTS=1)
    upstream.plays({"fault": "status", "status": 500})
    async with client_of(service) as client:
        for _ in range(3):
            assert (await client.post("/v1/runs", json={"input": "hello"})).status_code == 503
        ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["breakers"]["model_primary"] == "open"
    assert service.metric("dependency_breaker_state", dependency="model_primary") == 2
    assert service.logged("breaker_changed", dependency="model_primary", new="open")


@pytest.mark.proves("observe.metrics")
@pytest.mark.parametrize("name", METRICS)
async def test_the_metrics_show_a_run(client: Client, service: Service, name: str) -> None:
    await client.post("/v1/runs", json={"input": "hello"})
    assert f"\n{name}{{" in (await client.get("/metrics")).text


@pytest.mark.proves("observe.metrics")
async def test_metrics_count_what_happened(client: Client, service: Service, upstream: Upstream) -> None:
    def runs(outcome: str) -> float:
        return service.metric("agent_run_duration_seconds_count", outcome=outcome)

    ok, down = runs("ok"), runs("model-unavailable")
    retries = service.metric("dependency_retries_total", dependency="model_primary")
    await client.post("/v1/runs", json={"input": "hello"})
    upstream.plays({"fault": "status", "status": 500})
    await client.post("/v1/runs", json={"input": "hello"})
    assert (runs("ok") - ok, runs("model-unavailable") - down) == (1, 1)
    assert service.metric("dependency_retries_total", dependency="model_primary") - retries == 2


@pytest.mark.proves("cost.spend")
async def test_cost_is_counted_by_model_and_tenant_where_the_price_is_known(
    start_service: StartService, upstream: Upstream
) -> None:
    service = start_service(MODEL__PRIMARY="openai-chat:gpt-4o")
    async with client_of(service) as client:
        usage = (await client.post("/v1/runs", json={"input": "hello"})).json()["usage"]
    assert usage["cost_usd"] > 0
    counted = service.metric("agent_cost_usd_total", model="openai-chat:gpt-4o", tenant="acme")
    assert counted == pytest.approx(usage["cost_usd"])
    assert service.logged("run")["cost_usd"] == pytest.approx(usage["cost_usd"])


@pytest.mark.proves("observe.logs")
async def test_every_line_is_json_with_its_context(client: Client, service: Service) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-Id": "golden", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    await client.post("/v1/runs", json={"input": "a secret question"}, headers=headers)
    line = service.logged("run", request_id="golden")
    assert {"timestamp", "level", "logger", "tenant", "run_id", "span_id"} <= set(line)
    assert (line["trace_id"], line["tenant"], line["key"]) == (trace, "acme", "tests")
    for text in service.lines:
        json.loads(text)
    assert "a secret question" not in service.output
    assert "You said" not in service.output


@pytest.mark.proves("observe.traces")
async def test_one_trace_leads_from_the_caller_through_agent_and_tool_to_the_models(
    collector: Collector, start_service: StartService
) -> None:
    service = start_service(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="50", OTEL_METRIC_EXPORT_INTERVAL="100"
    )
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with client_of(service) as client:
        response = await client.post(
            "/v1/runs",
            json={"input": 'call exchange_rate {"base": "EUR", "quote": "USD"}'},
            headers={"traceparent": f"00-{trace}-{caller}-01"},
        )
    assert response.json()["output"] == "The tool said: 1.08"
    await becomes(lambda: any(span.parent_span_id.hex() == caller for span in collector.trace(trace)))
    spans = collector.trace(trace)
    door = next(span for span in spans if span.parent_span_id.hex() == caller)
    agent = next(span for span in spans if span.name.startswith("invoke_agent"))
    inside = [span for span in spans if span.parent_span_id == agent.span_id]
    assert agent.parent_span_id == door.span_id
    assert attributes(door)["http.route"] == "/v1/runs"
    assert sorted(span.name for span in inside) == ["chat primary", "chat primary", "execute_tool exchange_rate"]
    chat = next(span for span in inside if span.name == "chat primary")
    assert attributes(chat)["gen_ai.usage.input_tokens"] == 100
    await becomes(lambda: {"agent.run.duration", "dependency.call.duration"} <= collector.metric_names)
    assert b"The tool said" not in collector.raw, "only LOG_CONTENT puts contents into traces"


async def test_an_unreachable_collector_does_not_delay_the_shutdown(
    start_service: StartService, collector: Collector
) -> None:
    service = start_service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    collector.stop()
    async with client_of(service) as client:
        assert (await client.post("/v1/runs", json={"input": "hello"})).status_code == 200
    assert service.stop(within=10) == 0


@pytest.mark.proves("scale.balancing")
@pytest.mark.proves("reliability.health")
async def test_sigterm_makes_unready_then_finishes_requests_in_flight_and_exits_with_0(
    start_service: StartService, upstream: Upstream
) -> None:
    service = start_service(DRAIN_SECONDS=1)
    upstream.plays(latency=2.0)
    async with client_of(service) as client, client_of(service) as prober:
        in_flight = asyncio.create_task(client.post("/v1/runs", json={"input": "hello"}))
        await becomes(lambda: upstream.stats()["open"] == 1)
        service.signal(signal.SIGTERM)

        async def not_ready() -> bool:
            return (await prober.get("/readyz")).status_code == 503

        async with asyncio.timeout(2):
            while not await not_ready():
                await asyncio.sleep(0.01)
        assert (await prober.get("/livez")).status_code == 200
        late = asyncio.create_task(prober.post("/v1/runs", json={"input": "still accepted"}))
        assert (await in_flight).status_code == 200
        assert (await late).status_code == 200
    eventually(lambda: service.exited is not None, what="the process ends")
    assert service.exited == 0


async def test_sigint_finishes_requests_in_flight_without_the_drain(start_service: StartService) -> None:
    service = start_service(DRAIN_SECONDS=30)
    service.signal(signal.SIGINT)
    eventually(lambda: service.exited is not None, within=10, what="the process ends")
    assert service.exited == 0


def test_a_service_that_requires_no_key_logs_a_warning(start_service: StartService) -> None:
    assert start_service(AUTH__KEYS={}).logged("open_door")["level"] == "warning"
    assert not start_service().logs("open_door")


@pytest.mark.proves("reliability.health")
def test_repeated_stop_signals_do_not_change_the_exit_code(start_service: StartService) -> None:
    service = start_service(DRAIN_SECONDS=0.2)

    def ended() -> bool:
        service.signal(signal.SIGTERM)
        return service.exited is not None

    eventually(ended, within=20, what="the process ends")
    assert service.exited == 0, service.output
