"""Service level objectives: alert rules for Prometheus and the error budget, from the answers.

The method is the SRE workbook's, chapter 5, "multiwindow, multi-burn-rate alerts": an alert fires when the error budget
of 30 days burns fast enough to matter, over a long window, and still does, over a short one.
https://sre.google/workbook/alerting-on-slos/
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from jinja2 import Environment
from jinja2.ext import Extension

LATENCY_OBJECTIVE = 99.0  # percent of the answers that are complete within the answered number of seconds
MINUTES = 30 * 24 * 60
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@dataclass(frozen=True)
class Burn:
    """The budget burns `rate` times as fast as it may: over `long`, and still over `short`."""

    rate: float
    long: str
    short: str


FAST = (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))  # 2 % of the budget in an hour, 5 % in six hours: wake somebody
SLOW = (Burn(3, "1d", "2h"), Burn(1, "3d", "6h"))  # 10 % in a day or in three days: a ticket


@dataclass(frozen=True)
class Indicator:
    """What an objective counts, as PromQL selectors: bad events, or good ones, and all of them."""

    total: str
    bad: str = ""
    good: str = ""

    def errors(self, window: str) -> str:
        """The share of bad events over `window`. Without any event there is no value, and no alert."""
        total = f"sum by (job, environment) (rate({self.total}[{window}]))"
        if self.good:
            return f"1 -\n  sum by (job, environment) (rate({self.good}[{window}]))\n  / {total}"
        bad = f"sum by (job, environment) (rate({self.bad}[{window}]))"
        return f"(\n  {bad}\n  or 0 * {total}\n)\n/ {total}"


def availability_problem(percent: float) -> str:
    """Below 95 %, 14.4 times the budget would be more than all requests, and the fast alert could not fire."""
    if not math.isfinite(percent) or not 95 <= percent <= 99.99:
        return "Give a percentage of at least 95 and at most 99.99, such as 99.9."
    return ""


def latency_problem(seconds: float) -> str:
    """A run may take as long as an hour; below five milliseconds, HTTP itself would be most of it."""
    if not math.isfinite(seconds) or not 0.005 <= seconds <= 3600:
        return "Give a number of seconds of at least 0.005 and at most 3600, such as 10."
    return ""


def number(value: float | Decimal) -> str:
    """A number without trailing zeros and without an exponent: 0.001, 10, 99.9."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def error_budget(percent: float) -> Decimal:
    """The share of events that may be bad."""
    return 1 - Decimal(str(percent)) / 100


def error_budget_minutes(percent: float) -> str:
    """The error budget of 30 days, as minutes of a total outage."""
    return number(round(error_budget(percent) * MINUTES, 1))


def bucket(seconds: float) -> str:
    """A matcher of the bucket that ends there. Prometheus 3 writes `10.0` for what the service calls `10`."""
    text = number(seconds)
    return f'le="{text}"' if "." in text else f'le=~"{text}([.]0)?"'


def availability(job: str, *, http: bool) -> Indicator:
    """Requests that fail by the service's fault; a client's mistakes (4xx) do not count. Without HTTP: tasks."""
    if http:
        name = f'http_server_request_duration_seconds_count{{job="{job}",http_response_status_code'
        return Indicator(total=f'{name}!~"4.."}}', bad=f'{name}=~"5.."}}')
    name = f'tasks_total{{job="{job}",outcome'
    return Indicator(total=f'{name}!="cancelled"}}', bad=f'{name}=~"failed|dead"}}')


def latency(job: str, seconds: float, *, http: bool) -> Indicator:
    """Answers with a model's work in them, streams until their last byte. Without HTTP: runs."""
    if http:
        name = "http_server_request_duration_seconds"
        chosen = f'job="{job}",http_route=~"/v1/(runs|chat/completions)",http_response_status_code=~"2.."'
    else:
        name, chosen = "agent_run_duration_seconds", f'job="{job}",outcome=~"ok|degraded"'
    return Indicator(total=f"{name}_count{{{chosen}}}", good=f"{name}_bucket{{{chosen},{bucket(seconds)}}}")


def burns(name: str, job: str, objective: float, alert: tuple[Burn, ...]) -> str:
    """The expression of an alert: one of its pairs of windows burns too fast."""

    def above(window: str, burn: Burn) -> str:
        limit = number(error_budget(objective) * Decimal(str(burn.rate)))
        return f'{name}:errors:ratio_rate{window}{{job="{job}"}} > {limit}'

    return "\nor\n".join(f"({above(burn.long, burn)}\n  and {above(burn.short, burn)})" for burn in alert)


def recordings(name: str, indicator: Indicator) -> list[tuple[str, str]]:
    """(name, expression) of the recording rules, one a window."""
    return [(f"{name}:errors:ratio_rate{window}", indicator.errors(window)) for window in WINDOWS]


def missing(metric: str) -> str:
    """An environment whose figures were there within a day, and are not now; or no figure of any environment."""
    seen = f"group by (job, environment) (last_over_time({metric}[1d]))"
    return (
        f"(\n  {seen}\n  unless group by (job, environment) ({metric})\n)\n"
        f"or\n(\n  absent({metric})\n  unless on (job) {seen}\n)"
    )


def counter(*steps: tuple[float, int]) -> str:
    """A counter's values in promtool's notation, one a minute: it grows by so much a minute, for so many minutes."""
    value, parts = Decimal(0), []
    for growth, minutes in steps:
        step = round(Decimal(str(growth)), 6)
        parts.append(f"{number(value)}+{number(step)}x{minutes - 1}")
        value += step * minutes
    return " ".join(parts)


class SloExtension(Extension):
    """Makes the validators filters, and the rules functions, of copier.yml and of the template."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        for function in (availability_problem, latency_problem, error_budget, error_budget_minutes, number):
            environment.filters[function.__name__] = function
        environment.globals["slo"] = {
            "availability": availability,
            "latency": latency,
            "latency_objective": LATENCY_OBJECTIVE,
            "recordings": recordings,
            "burns": burns,
            "missing": missing,
            "counter": counter,
            "fast": FAST,
            "slow": SLOW,
        }
