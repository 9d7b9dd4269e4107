"""The first manifests of a model, from what its user says and from what lies in its store."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bluetune.adapters.cluster import Cluster
from bluetune.adapters.output import note
from bluetune.adapters.stores import DataSeen, look, own_store
from bluetune.commands.options import Context, Namespace
from bluetune.core import starting
from bluetune.core.data_seen import ClicksSeen, ItemsSeen
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import DEPLOYMENTS, Object, name_of
from bluetune_api.objectstore import LocalStore, StoreError
from bluetune_api.store_location import StoreLocation

BASE = "hf://sentence-transformers/all-MiniLM-L6-v2@main"
PORT = 8080
SECRET = "store"  # noqa: S105  # its name


def init(
    model: Annotated[str | None, typer.Argument(help="Name of the model.", show_default=False)] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="s3://BUCKET/PREFIX", help="Where data is and versions will be kept.", show_default=False),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="[SCHEME://]HOST:PORT",
            help="Of the S3 API, as pods reach it: https unless http://.",
            show_default=False,
        ),
    ] = None,
    secret: Annotated[str, typer.Option(help="Secret with the keys of the store.")] = SECRET,
    base: Annotated[
        str | None, typer.Option(help=f"What the model starts from. Default: {BASE}.", show_default=False)
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(help="Deployment that serves the model; '' for none.", show_default=False)
    ] = None,
    container: Annotated[
        str | None, typer.Option(help="Its container. Default: the only one.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port that answers which version is served. Default: the first.", show_default=False),
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of a training; 0 trains on CPUs.")] = 1,
    retrain: Annotated[bool, typer.Option("--retrain", help="Make a task for each new batch of clicks.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Look at this folder with items/ and clickstream/, not at the store.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files are written.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Write method.yaml, model.yaml and task.yaml for a model, commented and valid.

    It asks for what no option says, where it can ask. It looks at the store with the keys in AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, and at the Deployment with your kubeconfig, and writes what it found into the files. It
    changes nothing in store or cluster.

    Examples:

    bluetune init

    bluetune init products --store s3://search/products --endpoint http://minio.storage:9000 --deployment search
    """
    model = _answer(model, "MODEL", "Name of the model")
    bucket, prefix = starting.bucket_and_prefix(_answer(store, "--store", "Store, as s3://BUCKET/PREFIX"))
    host, secure = starting.endpoint_and_secure(
        _answer(endpoint, "--endpoint", "Endpoint of the store, as pods reach it ([http://]HOST:PORT)")
    )
    base = _answer(base, "--base", "Base model", BASE)
    deployment = _answer(deployment, "--deployment", "Deployment that serves it (empty: none)", "")
    answers = starting.Answers(
        model=model,
        namespace=namespace,
        base=base,
        endpoint=host,
        secure=secure,
        bucket=bucket,
        prefix=prefix,
        secret=secret,
        blue=_blue(deployment, container, port, namespace, context) if deployment else None,
        gpus=gpus,
        retrain=retrain,
    )
    starting.manifests(answers, ItemsSeen(), ClicksSeen())  # a mistake is said before anything is looked at
    seen = _data(answers, data)
    for line in seen.said:
        note(line)
    files = starting.manifests(answers, seen.items, seen.clicks)
    _write(files, into, force=force)
    for name in files:
        typer.echo(str(into / name))
    note("\nNext:\n" + "\n".join(f"  {line}" for line in starting.what_next(files, str(into), answers)))


def _answer(given: str | None, option: str, question: str, default: str | None = None) -> str:
    """What an option says, or what its user says when asked."""
    if given is not None:
        return given
    if sys.stdin.isatty() and sys.stderr.isatty():
        return str(typer.prompt(question, default=default, err=True))
    if default is None:
        raise CliError(f"{option} is missing, and nobody can be asked: there is no terminal", Exit.USAGE)
    return default


def _blue(
    deployment: str, container: str | None, port: int | None, namespace: str | None, context: str | None
) -> starting.Blue:
    """The Deployment as the cluster has it; what cannot be seen is what the options say."""
    found = _deployment(deployment, namespace, context)
    containers = starting.containers_of(found) if found else {}
    if container is None:
        if len(containers) == 1:
            (container,) = containers
        elif containers:
            raise CliError(
                f"--container: {deployment} has {', '.join(containers)}: name the one that reads the version"
            )
        else:
            container = _answer(None, "--container", f"Container of {deployment} that reads the version")
    elif containers and container not in containers:
        raise CliError(f"--container {container}: {deployment} has {', '.join(containers)}")
    ports = containers.get(container) or [PORT]
    return starting.Blue(deployment, container, ports[0] if port is None else port)


def _deployment(name: str, namespace: str | None, context: str | None) -> Object | None:
    try:
        cluster = Cluster(context, namespace)
        found = cluster.find(DEPLOYMENTS, name)
    except CliError as error:
        note(f"the Deployment {name} was not looked at: {error}")
        return None
    if found is None:
        note(f"there is no Deployment {name} in namespace {cluster.namespace} yet")
    else:
        note(f"Deployment {name_of(found)} has the containers {', '.join(starting.containers_of(found))}")
    return found


def _data(answers: starting.Answers, folder: Path | None) -> DataSeen:
    """What lies in the folder or in the store; what cannot be seen is said."""
    try:
        if folder is not None:
            if not folder.is_dir():
                raise CliError(f"--data {folder}: there is no such folder", Exit.USAGE)
            return look(LocalStore(folder))
        location = StoreLocation(
            endpoint=answers.endpoint, secure=answers.secure, bucket=answers.bucket, prefix=answers.prefix
        )
        store = own_store(location)
        if store is None:
            return DataSeen(
                said=[
                    "the store was not looked at: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set (or --data)"
                ]
            )
        return look(store)
    except StoreError as error:
        return DataSeen(said=[f"the store was not looked at: {error}"])


def _write(files: dict[str, str], folder: Path, *, force: bool) -> None:
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise CliError(f"{', '.join(str(folder / name) for name in there)}: there already; --force writes over them")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"--into {folder}: {error.strerror}") from None
