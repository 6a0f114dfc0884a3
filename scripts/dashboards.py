#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["grafana-foundation-sdk==1769699998!10.1.0"]
# ///
"""Builds the dashboards of generated projects: `uv run scripts/dashboards.py [FOLDER]`. Projects get the JSON alone.

A dashboard shows one service in one environment; its variables `job` and `environment` choose which, so that no file
depends on an answer.
"""

import sys
from pathlib import Path

from panels import RATE, Panel, built, figure, graph, percentiles

FOLDER = Path(__file__).parent.parent / "template" / "deploy" / "observability" / "dashboards"

HTTP = "http_server_request_duration_seconds"
RUN = "agent_run_duration_seconds"
CALL = "dependency_call_duration_seconds"
ANSWERS = 'JOB,http_route=~"/v1/(runs|chat/completions)"'

DASHBOARDS: dict[str, tuple[str, list[Panel]]] = {
    "service": (
        "Service",
        [
            figure("Errors, 1 h", "percentunit", "slo_availability:errors:ratio_rate1h{JOB}", "Against the objective."),
            figure(
                "Slow answers, 1 h", "percentunit", "slo_latency:errors:ratio_rate1h{JOB}", "Against the objective."
            ),
            figure("Requests a second", "reqps", f"sum(rate({HTTP}_count{{JOB}}{RATE}))"),
            figure("Replicas", "short", "count(process_start_time_seconds{JOB})", "All processes of the service."),
            graph(
                "Rate by route",
                "reqps",
                (f"sum by (http_route) (rate({HTTP}_count{{JOB}}{RATE}))", "{{http_route}}"),
                about="Requests without a route were refused before their path was read.",
            ),
            graph(
                "Errors by status and route",
                "reqps",
                (
                    "sum by (http_response_status_code, http_route)"
                    f' (rate({HTTP}_count{{JOB,http_response_status_code=~"[45].."}}{RATE}))',
                    "{{http_response_status_code}} {{http_route}}",
                ),
            ),
            graph(
                "Duration of answers", "s", *percentiles(HTTP, where=ANSWERS), about="Streams until their last byte."
            ),
            graph(
                "Refusals by reason",
                "reqps",
                (f"sum by (reason) (rate(requests_rejected_total{{JOB}}{RATE}))", "{{reason}}"),
            ),
            graph(
                "Requests in progress",
                "short",
                ("sum by (instance) (http_server_active_requests{JOB})", "{{instance}}"),
            ),
            graph(
                "Share of errors",
                "percentunit",
                ("slo_availability:errors:ratio_rate5m{JOB}", "5 min"),
                ("slo_availability:errors:ratio_rate6h{JOB}", "6 h"),
                ("slo_availability:errors:ratio_rate3d{JOB}", "3 d"),
            ),
            graph("CPU", "percentunit", (f"rate(process_cpu_seconds_total{{JOB}}{RATE})", "{{instance}}")),
            graph("Memory", "bytes", ("process_resident_memory_bytes{JOB}", "{{instance}}")),
            graph("Open files", "short", ("process_open_fds{JOB}", "{{instance}}")),
        ],
    ),
    "agent": (
        "Agent and cost",
        [
            figure("US dollars, 24 h", "currencyUSD", "sum(increase(agent_cost_usd_total{JOB}[1d]))"),
            figure("Day's budget of a tenant", "currencyUSD", "max(budget_usd_per_day{JOB})"),
            figure(
                "Degraded answers, 1 h",
                "percentunit",
                f'sum(rate({RUN}_count{{JOB,outcome="degraded"}}[1h])) / sum(rate({RUN}_count{{JOB}}[1h]))',
                "By the fallback model, from the cache, or without the shared state store.",
            ),
            figure(
                "Estimated usage, 1 h",
                "percentunit",
                "sum(rate(agent_usage_estimated_total{JOB}[1h]))"
                " / sum(rate(gen_ai_client_operation_duration_seconds_count{JOB}[1h]))",
            ),
            graph("Runs by outcome", "ops", (f"sum by (outcome) (rate({RUN}_count{{JOB}}{RATE}))", "{{outcome}}")),
            graph("Duration of runs", "s", *percentiles(RUN, where='JOB,outcome=~"ok|degraded"')),
            graph(
                "US dollars an hour by tenant",
                "currencyUSD",
                (f"sum by (tenant) (rate(agent_cost_usd_total{{JOB}}{RATE})) * 3600", "{{tenant}}"),
                stacked=True,
            ),
            graph(
                "US dollars an hour by model",
                "currencyUSD",
                (f"sum by (model) (rate(agent_cost_usd_total{{JOB}}{RATE})) * 3600", "{{model}}"),
                stacked=True,
            ),
            graph(
                "Tokens a second",
                "short",
                (
                    "sum by (gen_ai_request_model, gen_ai_token_type)"
                    f" (rate(gen_ai_client_token_usage_sum{{JOB}}{RATE}))",
                    "{{gen_ai_request_model}} {{gen_ai_token_type}}",
                ),
            ),
            graph(
                "Duration of model calls",
                "s",
                *percentiles("gen_ai_client_operation_duration_seconds", "gen_ai_request_model"),
            ),
            graph(
                "Calls without a price, and with estimated usage",
                "ops",
                (f"sum by (model) (rate(agent_cost_unknown_total{{JOB}}{RATE}))", "no price: {{model}}"),
                (f"sum by (model) (rate(agent_usage_estimated_total{{JOB}}{RATE}))", "estimated: {{model}}"),
            ),
        ],
    ),
    "dependencies": (
        "Dependencies",
        [
            figure("Open breakers", "short", "count(dependency_breaker_state{JOB} == 2) or vector(0)"),
            figure("State store degraded", "short", "max(state_degraded{JOB})", "1: each process uses its own memory."),
            figure("Audit trail failing", "short", 'max(sink_failing{JOB,sink="audit"})'),
            figure(
                "Lines lost, 1 h", "short", "sum(increase(sink_dropped_total{JOB}[1h]))", "Of the log and the audit."
            ),
            graph("Rate", "ops", (f"sum by (dependency) (rate({CALL}_count{{JOB}}{RATE}))", "{{dependency}}")),
            graph(
                "Failures by outcome",
                "ops",
                (
                    f'sum by (dependency, outcome) (rate({CALL}_count{{JOB,outcome!="ok"}}{RATE}))',
                    "{{dependency}} {{outcome}}",
                ),
            ),
            graph("Duration", "s", *percentiles(CALL, "dependency"), about="Retries and their pauses included."),
            graph(
                "Breakers",
                "short",
                ("max by (dependency) (dependency_breaker_state{JOB})", "{{dependency}}"),
                about="0 closed, 1 half-open, 2 open; the worst replica.",
            ),
            graph(
                "Retries",
                "ops",
                (f"sum by (dependency) (rate(dependency_retries_total{{JOB}}{RATE}))", "{{dependency}}"),
            ),
            graph(
                "Lost lines and records", "ops", (f"sum by (sink) (rate(sink_dropped_total{{JOB}}{RATE}))", "{{sink}}")
            ),
        ],
    ),
    "queue": (
        "Queue",
        [
            figure("Waiting tasks", "short", "max(queue_depth{JOB})"),
            figure("Age of the oldest", "s", "max(queue_oldest_task_seconds{JOB})"),
            figure("Dead letters, 24 h", "short", 'sum(increase(tasks_total{JOB,outcome="dead"}[1d]))'),
            figure("Workers", "short", "count(tasks_takeovers_total{JOB})"),
            graph(
                "Waiting and delayed tasks",
                "short",
                ("max(queue_depth{JOB})", "waiting"),
                ("max(queue_delayed{JOB})", "delayed"),
            ),
            graph("Age of the oldest task", "s", ("max(queue_oldest_task_seconds{JOB})", "oldest")),
            graph(
                "Ended tasks by outcome", "ops", (f"sum by (outcome) (rate(tasks_total{{JOB}}{RATE}))", "{{outcome}}")
            ),
            graph("Takeovers", "ops", (f"sum(rate(tasks_takeovers_total{{JOB}}{RATE}))", "dead workers' tasks")),
            graph("CPU", "percentunit", (f"rate(process_cpu_seconds_total{{JOB}}{RATE})", "{{instance}}")),
            graph("Memory", "bytes", ("process_resident_memory_bytes{JOB}", "{{instance}}")),
        ],
    ),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, panels) in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(built(name, title, panels))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
