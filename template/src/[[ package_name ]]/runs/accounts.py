"""Reports each run's cost, duration and outcome to metrics, log and audit trail."""

import time
from typing import TYPE_CHECKING, Any

import structlog

from ..errors import AuditUnavailable
from ..telemetry import metrics
from ..telemetry.audit import Audit

if TYPE_CHECKING:  # it imports the agent's runtime, which a command that submits does not need
    from .task import Progress

log = structlog.get_logger(__name__)


def check_audit(audit: Audit) -> None:
    """Raises:
    AuditUnavailable: the trail cannot be written, and AUDIT__REQUIRED is set.
    """
    if audit.required and (trouble := audit.trouble):
        raise AuditUnavailable(f"No run starts while the audit trail cannot be written: {trouble}.", retry_after=5)


def account(run: "Progress", audit: Audit) -> None:
    """Reports a run. Called once, when the run has ended and `run.outcome` is set."""
    spent = run.spent()
    seconds = time.perf_counter() - run.started
    role, model = run.answered_by
    metrics.RUN_DURATION.record(seconds, {"outcome": run.outcome})
    facts: dict[str, Any] = {
        "model": model,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "cost_usd": spent.cost_usd,
        "usage_estimated": spent.estimated,
    }
    metadata = {"metadata": run.task.metadata} if run.task.metadata else {}
    log.info(
        "run",
        outcome=run.outcome,
        role=role,
        duration_seconds=round(seconds, 4),
        **facts,
        **run.failure,
        **metadata,
    )
    audit.record(
        "run", actor=run.task.actor, outcome=run.outcome, tenant=run.task.tenant, run_id=run.task.run_id, **facts
    )
