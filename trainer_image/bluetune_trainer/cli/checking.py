"""Check: judge a batch before a GPU is held for it."""

import logging
import threading

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import CheckReport, Plan
from bluetune_trainer.data.inspect import in_short
from bluetune_trainer.data.loading import check, check_judgments
from bluetune_trainer.errors import DataInvalid
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.method import FineTuningMethod
from bluetune_trainer.plugin.resolve import Resolved, resolve
from bluetune_trainer.search.space import check_space
from bluetune_trainer.store import runs

log = logging.getLogger(__name__)


def prepare(plan: Plan, plugin: FineTuningMethod | None = None) -> Resolved:
    """Plugin and method of a plan, with everything judged that needs no model.

    Args:
        plan: the run's.
        plugin: the plan's, if it was loaded before.

    Raises:
        PlanInvalid: naming field, value and what is expected.
        PluginFailed: the plugin raised.
    """
    resolved = resolve(plan.method, plugin)
    check_space(resolved.method.initial_params, resolved.method.settings.loss)
    meta = resolved.plugin.meta
    log.info("method", extra={"plugin": meta.name, "pluginVersion": meta.version})
    return resolved


def checked_batch(store: ObjectStore, plan: Plan, resolved: Resolved, *, stop: threading.Event) -> CheckReport:
    """The run's check: the stored one, or a new one, which is stored once."""
    stored = runs.read_check(store, plan.owner.uid)
    if stored is not None:
        return stored
    with blaming(plan.method.plugin, *resolved.user_code):
        report = check(store, plan.selection(), resolved.method, resolved.plugin, gate=plan.gate, stop=stop)
    return runs.create(store, store_layout.check(plan.owner.uid), report)


def run_check(store: ObjectStore, plan: Plan, *, stop: threading.Event) -> CheckReport:
    """Write check.json, and judge it.

    Raises:
        DataInvalid: the batch is not worth training on, or the gate's judgments could not judge what comes of it.
    """
    resolved = prepare(plan)
    report = checked_batch(store, plan, resolved, stop=stop)
    log.info("batch checked", extra={"batch": report.batch_id, "valid": report.valid, "sessions": report.sessions})
    if not report.valid:
        raise DataInvalid(in_short(report))
    if plan.gate.judgments is not None:
        with blaming(plan.method.plugin, *resolved.user_code):
            found = check_judgments(
                store, plan.gate.judgments, resolved.method, resolved.plugin, report.items, stop=stop
            )
        log.info("judgments checked", extra={"judgments": found})
    return report
