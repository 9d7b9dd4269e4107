"""The command line: `python tests/cluster COMMAND`."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from . import forward, node, processes, programs, s3
from .errors import ClusterError
from .lifecycle import Cluster
from .paths import DEFAULT_STATE, KUBERNETES, State
from .terminal import duration, say, step


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    cluster = Cluster(State.chosen(options.state))
    try:
        return _run(cluster, options)
    except ClusterError as error:
        say(f"cluster: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(cluster: Cluster, options: argparse.Namespace) -> int:
    match options.command:
        case "build":
            print(programs.build(programs.NEIGHBOURS if options.neighbours else programs.PROGRAMS))
        case "up":
            _up(cluster)
        case "down":
            _down(cluster)
        case "exec":
            line = cluster.command(options.line)
            os.execvpe(line[0], line, os.environ | cluster.environment())  # noqa: S606 the user's own command
        case "load":
            for archive in options.archives:
                with step(f"importing {archive}"):
                    cluster.load(archive)
        case "logs":
            _logs(cluster, options.program, options.follow)
        case "forward":
            _forward(cluster, options)
        case "s3":
            _s3(cluster, options.kind)
        case "status":
            _status(cluster)
        case processes.NODE_COMMAND:
            node.main(State.chosen(options.folder))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster", description="A real one-node Kubernetes cluster on this machine.")
    parser.add_argument(
        "--state", help=f"the cluster's folder (BLUETUNE_CLUSTER_STATE, else {DEFAULT_STATE}); each has its own cluster"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("build", help="build the cluster's programs that are not in the cache")
    command.add_argument("--neighbours", action="store_true", help="instead: others' controllers, for some tests")
    commands.add_parser("up", help="start the cluster unless it runs")
    commands.add_parser("down", help="end every process of the cluster, also of one that was killed")
    command = commands.add_parser("exec", help="run a command in the cluster's network, with kubectl and helm")
    command.add_argument("line", nargs=argparse.REMAINDER, metavar="CMD")
    command = commands.add_parser("load", help="import image archives (docker-archive or oci-archive)")
    command.add_argument("archives", nargs="+", type=Path, metavar="TAR")
    command = commands.add_parser("logs", help="show a program's log, or which logs there are")
    command.add_argument("program", nargs="?")
    command.add_argument("-f", "--follow", action="store_true")
    command = commands.add_parser("forward", help="let 127.0.0.1:PORT lead into the cluster's network")
    command.add_argument("rule", metavar="PORT:HOST:PORT", help="HOST: an address, or NAMESPACE/SERVICE; PORT 0: any")
    command.add_argument("--detach", action="store_true", help="stay in the background until `down`")
    command.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    command = commands.add_parser("s3", help="start an S3 server if it does not run; print its address and keys")
    command.add_argument("kind", choices=list(s3.PORTS), nargs="?", default="minio")
    commands.add_parser("status", help="what runs, and how to use it")
    command = commands.add_parser(processes.NODE_COMMAND)
    command.add_argument("folder")
    return parser


def _up(cluster: Cluster) -> None:
    begun = time.monotonic()
    if cluster.up():
        say(f"Kubernetes {KUBERNETES} is up after {duration(time.monotonic() - begun)}.")
    else:
        say(f"Kubernetes {KUBERNETES} is up already at {cluster.state.root}.")
    say("Use it:  .venv/bin/python tests/cluster exec kubectl get nodes")
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _down(cluster: Cluster) -> None:
    if not cluster.state.root.exists() and not processes.marked(cluster.state):
        say(f"No cluster at {cluster.state.root}.")
    else:
        with step(f"removing the cluster at {cluster.state.root}"):
            cluster.down()


def _logs(cluster: Cluster, program: str | None, follow: bool) -> None:
    names = sorted(path.stem for path in cluster.state.logs.glob("*.log"))
    if not names:
        raise ClusterError(f"no logs at {cluster.state.logs}; start a cluster: make up")
    if program is None:
        print("\n".join(names))
    elif program not in names:
        raise ClusterError(f"no log named {program!r}; there are {', '.join(names)}")
    else:
        more = ["-f"] if follow else []
        subprocess.run(["tail", "-n", "1000", *more, str(cluster.state.logs / f"{program}.log")], check=False)


def _forward(cluster: Cluster, options: argparse.Namespace) -> None:
    if options.detach:
        print(f"127.0.0.1:{forward.detached(cluster, options.rule)}")
    else:
        forward.serve(cluster, options.rule, with_parent=options.with_parent)


def _s3(cluster: Cluster, kind: s3.Kind) -> None:
    server = cluster.s3(kind)
    print(
        f"endpoint {server.endpoint}\nAWS_ACCESS_KEY_ID {server.access_key}\nAWS_SECRET_ACCESS_KEY {server.secret_key}"
    )


def _status(cluster: Cluster) -> None:
    cluster.node_pid()
    print(f"state      {cluster.state.root}")
    print(f"code       {(cluster.state.root / 'checkout').read_text()}")
    print(f"kubeconfig {cluster.kubeconfig}")
    for kind, server in s3.servers(cluster.state).items():
        print(f"{kind:<10} {server.endpoint}")
    ended = cluster.state.root / "ended"
    for line in ended.read_text().splitlines() if ended.exists() else []:
        print(f"ENDED      {line} (name, exit code)")
    print("\nMiB        program")
    for pid in processes.marked(cluster.state):
        print(f"{processes.resident_mib(pid):<10.0f} {processes.command_name(pid)}")
    print()
    sys.stdout.flush()
    print(cluster.run("kubectl", "get", "nodes", "-o", "wide", "--request-timeout=10s"), end="")
