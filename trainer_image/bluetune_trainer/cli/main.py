"""`bluetune-trainer`: import, check, run, index, load, fetch."""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bluetune_api.objectstore import ObjectStore, require_conditional_writes
from bluetune_api.pods import GPUS
from bluetune_api.records import Plan, Progress
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.cli import logs
from bluetune_trainer.cli.ending import finish, terminate
from bluetune_trainer.cli.stopping import listen

POD_UID = "BLUETUNE_POD_UID"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="bluetune-trainer", description="Fine-tunes a sentence encoder on search clicks, and publishes the result."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    publish = commands.add_parser(
        "import",
        help="publish a base model as the first version",
        description="Publish a base model as the first version.",
    )
    publish.add_argument("--plan", type=Path, required=True, metavar="FILE", help="the plan, a JSON file")
    check = commands.add_parser(
        "check",
        help="judge a batch of clicks: by a plan, or by manifests with a folder as the store",
        description="Judge a batch of clicks. With --plan as a Job does it; with -f and --store on this machine the"
        " batch that the task would take; nothing is trained.",
    )
    load = commands.add_parser(
        "load",
        help="load a version's index into a database",
        description="Load a version's index into the table of pgvector, or the index of OpenSearch, that the plan"
        " names. The database's address is in BLUETUNE_INDEX_DATABASE; OpenSearch's user, password and certificate"
        " authority are in BLUETUNE_INDEX_USERNAME, BLUETUNE_INDEX_PASSWORD and BLUETUNE_INDEX_CA.",
    )
    load.add_argument("--plan", type=Path, required=True, metavar="FILE", help="the plan, a JSON file")
    run = commands.add_parser(
        "run",
        help="train: by a plan, or by manifests with a folder as the store",
        description="Train and publish the best model. With --plan as a Job does it; with -f and --store on this"
        " machine alone, with no cluster and no S3.",
    )
    for command in (check, run):
        _add_source(command)
        command.add_argument(
            "--store", type=Path, metavar="DIR", help="with -f: the folder with clickstream/ and items/"
        )
        command.add_argument("--task", metavar="NAME", help="with -f: which FineTuningTask, if there are several")
    index = commands.add_parser(
        "index",
        help="encode the catalogue with a version: by a plan, or by manifests with a folder as the store",
        description="Encode the catalogue with a version, into Parquet files below indexes/<version>/. With --plan as a"
        " Job does it, the shard that JOB_COMPLETION_INDEX names; with -f and --store on this machine, all shards.",
    )
    _add_source(index)
    index.add_argument("--store", type=Path, metavar="DIR", help="with -f: the folder with versions/ and items/")
    index.add_argument("--version", metavar="ID", help="with -f: the version to encode with")
    index.add_argument("--model", metavar="NAME", help="with -f: which EmbeddingModel, if there are several")
    fetch = commands.add_parser(
        "fetch",
        help="download a version and verify it",
        description="Download a version of the store in BLUETUNE_STORE.",
    )
    fetch.add_argument("--version", required=True, help="the version's id")
    fetch.add_argument("--digest", required=True, help="sha256:… of its manifest")
    fetch.add_argument("--into", type=Path, required=True, metavar="DIR", help="folder to put it in")
    return top


def _add_source(command: argparse.ArgumentParser) -> None:
    """What a command does its work by: a plan, as in a Job, or manifests."""
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--plan", type=Path, metavar="FILE", help="the plan, a JSON file")
    source.add_argument(
        "-f", dest="manifests", type=Path, action="append", metavar="FILE", help="manifests (YAML), or a folder of them"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code."""
    top = parser()
    options = top.parse_args(arguments)
    laptop = getattr(options, "manifests", None) is not None
    if options.command in ("check", "run", "index") and laptop != (options.store is not None):
        top.error(f"{options.command}: -f and --store go together")
    if options.command == "index" and laptop != (options.version is not None):
        top.error("index: -f and --version go together")
    logs.set_up(default_level="warning" if laptop else "info")
    stop = threading.Event()
    listen(stop)
    try:
        message = _run(options, stop, laptop=laptop)
    except BaseException as error:  # every end has a code and a message
        if isinstance(error, SystemExit | GeneratorExit):
            raise
        return finish(error)
    terminate("Completed", message)
    print(message)
    return 0


def _open(location: StoreLocation) -> ObjectStore:
    from bluetune_api.s3 import store_from_environment

    return store_from_environment(location)


def _run(options: argparse.Namespace, stop: threading.Event, *, laptop: bool) -> str:
    """Dispatch. Imports are here so that no command waits for a library that it does not need."""
    if options.command == "fetch":
        from bluetune_trainer.cli import fetching

        manifest = fetching.run_fetch(_open(fetching.location()), options.version, options.digest, options.into)
        return f"fetched {options.version} ({len(manifest.files)} files) into {options.into}, verified"
    if laptop and options.command == "index":
        from bluetune_trainer.cli.laptop_index import index_manifests

        return index_manifests(options.manifests, options.store, options.version, options.model, stop=stop)
    if laptop and options.command == "check":
        from bluetune_trainer.cli.laptop import check_manifests

        return check_manifests(options.manifests, options.store, options.task, stop=stop)
    if laptop:
        from bluetune_trainer.cli.laptop import run_manifests

        return run_manifests(options.manifests, options.store, options.task, stop=stop, open_store=_open)
    from bluetune_trainer.cli.plans import read_plan

    plan = read_plan(options.plan, options.command)
    logs.set_up(default_level="info", fields=_log_fields(plan))
    store = _open(plan.store)
    require_conditional_writes(store)
    if options.command == "check":
        from bluetune_trainer.cli.checking import run_check
        from bluetune_trainer.data.inspect import in_one_line

        report = run_check(store, plan, stop=stop)
        return f"batch {report.batch_id} is fine: {in_one_line(report)}"
    if options.command == "import":
        from bluetune_trainer.cli.importing import run_import

        return f"{plan.base_uri} is published as {run_import(store, plan, _open, stop=stop).version}"
    if options.command == "index":
        from bluetune_trainer.cli.indexing import run_index, shard_of_environment

        return run_index(store, plan, shard_of_environment(), gpus=_gpus(), stop=stop)
    if options.command == "load":
        from bluetune_trainer.cli.index_loading import run_load

        return run_load(store, plan, stop=stop)
    return _train(store, plan, stop)


def _log_fields(plan: Plan) -> dict[str, str]:
    fields = {"model": plan.model, "namespace": plan.owner.namespace, "run": plan.owner.uid}
    return {**fields, "task": plan.owner.name} if plan.owner.kind == "FineTuningTask" else fields


def _gpus() -> int:
    """How many the operator asked for; an older one does not say."""
    given = os.environ.get(GPUS) or "0"
    return int(given) if given.isdigit() else 0


def _train(store: ObjectStore, plan: Plan, stop: threading.Event) -> str:
    from bluetune_trainer.store.progress import ProgressWriter
    from bluetune_trainer.store.runs import read_result

    done = read_result(store, plan.owner.uid)
    if done is not None:  # a pod that is started again has nothing to wait for
        return f"{done.version} was published before"
    from bluetune_trainer.cli.training import run_train

    writer = ProgressWriter.of_attempt(store, plan.owner.uid, os.environ.get(POD_UID) or "local")

    def report(progress: Progress) -> None:
        writer.report(progress)

    try:
        result = run_train(store, plan, stop=stop, report=report, gpus=_gpus())
    finally:
        writer.close()
    return f"published {result.version} from {result.trials_done} trials"


if __name__ == "__main__":
    sys.exit(main())
