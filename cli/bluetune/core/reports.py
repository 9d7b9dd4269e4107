"""Where a run's report lies, below its model's store."""

from pydantic import ValidationError

from bluetune.core.endpoint import split_endpoint
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import Object, name_of
from bluetune_api.reading import first_problem, read_spec
from bluetune_api.store_location import StoreLocation


def report_place(task: Object, model: Object, endpoint: str | None) -> tuple[StoreLocation, str]:
    """The store and the key of a task's report.

    Args:
        endpoint: host and port instead of the model's, which may be one that the cluster alone knows; maybe after
            `http://` or `https://`, as a forwarded port may speak what the model's endpoint does not.

    Raises CliError for a task without a report, for one whose report lies elsewhere than its model's store, for a store
    that this release cannot read, and for an endpoint that is none.
    """
    url = (task.get("status") or {}).get("reportUrl")
    if not url:
        raise CliError(f"task {name_of(task)} has no report: a training writes it when it publishes its version")
    location = store_of(model)
    root = location.uri() + "/"
    if not str(url).startswith(root):
        raise CliError(f"the report is at {url}, which is not in the store of model {name_of(model)} ({root})")
    return reached_at(location, endpoint), str(url).removeprefix(root)


def store_of(model: Object) -> StoreLocation:
    """A model's store. Raises CliError for one that this release cannot read."""
    try:
        return read_spec(StoreLocation, model["spec"]["store"])
    except ValidationError as error:
        raise CliError(
            f"model {name_of(model)}: spec.store.{first_problem(error)}; if a newer release of bluetune runs in the"
            " cluster, use its command line"
        ) from None


def reached_at(location: StoreLocation, endpoint: str | None) -> StoreLocation:
    """The same store at another address, if one is given; its host says where requests name the bucket.

    Raises CliError.
    """
    if endpoint is None:
        return location
    address, secure = split_endpoint(endpoint)
    changed: dict[str, object] = {"endpoint": address, "addressing": None}
    if secure is not None:
        changed["secure"] = secure
    try:
        return StoreLocation.model_validate(location.model_dump() | changed)
    except ValidationError:
        raise CliError(
            f"--endpoint {endpoint!r}: must be HOST:PORT without a path, maybe after http:// or https://", Exit.USAGE
        ) from None
