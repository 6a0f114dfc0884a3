"""Panels and dashboards of grafana-foundation-sdk, as far as dashboards.py needs them."""

import json

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
COLUMNS, HEIGHT = 24, 8
RATE = "[$__rate_interval]"

Query = tuple[str, str]  # PromQL and the legend of its series; JOB stands for the chosen service and environment
Panel = timeseries.Panel | stat.Panel


def graph(title: str, unit: str, *queries: Query, about: str = "", stacked: bool = False) -> Panel:
    """A panel over time."""
    panel = timeseries.Panel().title(title).description(about).unit(unit).min(0).datasource(SOURCE)
    panel.fill_opacity(30 if stacked else 10).span(COLUMNS // 3).height(HEIGHT)
    for letter, (expression, legend) in zip("ABCDEF", queries, strict=False):
        panel.with_target(_query(expression, legend, letter))
    return panel


def figure(title: str, unit: str, expression: str, about: str = "") -> Panel:
    """A panel of one figure, now."""
    panel = stat.Panel().title(title).description(about).unit(unit).datasource(SOURCE)
    return panel.span(COLUMNS // 4).height(HEIGHT // 2).with_target(_query(expression, "", "A"))


def _query(expression: str, legend: str, letter: str) -> prometheus.Dataquery:
    expression = expression.replace("JOB", 'job="$job",environment="$environment"')
    return prometheus.Dataquery().datasource(SOURCE).expr(expression).legend_format(legend).ref_id(letter)


def percentiles(histogram: str, by: str = "", where: str = "JOB") -> list[Query]:
    """The median, the 95th and the 99th percentile of a histogram."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return [
        (
            f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{where}}}{RATE})))",
            f"p{share * 100:g}{legend}",
        )
        for share in (0.5, 0.95, 0.99)
    ]


def built(name: str, title: str, panels: list[Panel]) -> str:
    """The JSON of a dashboard."""
    page = (
        dashboard.Dashboard(f"Agent service: {title}")
        .uid(f"agent-service-{name}")
        .tags(["agent-service"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("job")
            .label("Service")
            .datasource(SOURCE)
            .query("label_values(dependency_breaker_state, job)")
            .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        )
        .with_variable(
            dashboard.QueryVariable("environment")
            .label("Environment")
            .datasource(SOURCE)
            .query('label_values(dependency_breaker_state{job="$job"}, environment)')
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    )
    for panel in panels:
        page.with_panel(panel)
    return json.dumps(page.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
