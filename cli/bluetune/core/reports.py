"""Where a run's report lies, below its model's store."""

from bluetune.core.errors import CliError
from bluetune.core.kinds import Object, name_of
from bluetune_api.reading import read_spec
from bluetune_api.store_location import StoreLocation


def report_place(task: Object, model: Object, endpoint: str | None) -> tuple[StoreLocation, str]:
    """The store and the key of a task's report.

    Args:
        endpoint: host and port instead of the model's, which may be one that the cluster alone knows.

    Raises CliError for a task without a report, and for one whose report lies elsewhere than its model's store.
    """
    url = (task.get("status") or {}).get("reportUrl")
    if not url:
        raise CliError(f"task {name_of(task)} has no report: a training writes it when it publishes its version")
    location = read_spec(StoreLocation, model["spec"]["store"])
    root = location.uri() + "/"
    if not str(url).startswith(root):
        raise CliError(f"the report is at {url}, which is not in the store of model {name_of(model)} ({root})")
    return (location.model_copy(update={"endpoint": endpoint}) if endpoint else location), str(url).removeprefix(root)
