"""runc, without the settings that need CAP_SYS_RESOURCE (raising limits, lowering OOM scores): some machines lack it.

An image that holds the empty folder /host-venv gets the host's /usr, /opt and the folders in TESTBED_HOST_DIRS (joined
by colons) bound in, read-only: a pod that runs the working tree's environment without building a large image first.
Control groups go below the group TESTBED_CGROUP, where `down` finds what a killed cluster leaves.

The node writes this file, with an interpreter line, into its state folder, and containerd calls it for every container:
it imports nothing of the package.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

RUNC = "/usr/sbin/runc"


def option(arguments: list[str], *names: str) -> str | None:
    """The value of the first of `names` in a command line, as `--name value` or `--name=value`."""
    for position, argument in enumerate(arguments):
        if argument in names:
            return arguments[position + 1]
        for name in names:
            if argument.startswith(f"{name}="):
                return argument.split("=", 1)[1]
    return None


def soften(process: dict[str, Any]) -> None:
    """Leave limits and OOM score as they are inherited."""
    process["rlimits"] = []
    process.pop("oomScoreAdj", None)


def bind_host(spec: dict[str, Any], folders: list[str]) -> None:
    """Bind the existing `folders` into the container, read-only, parents before children."""
    for folder in filter(os.path.isdir, folders):
        spec["mounts"].append({"destination": folder, "type": "bind", "source": folder, "options": ["bind", "ro"]})
    spec["mounts"].sort(key=lambda mount: mount["destination"].rstrip("/").count("/"))


def rewrite(path: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON file at `path` in place."""
    with open(path) as file:
        data = json.load(file)
    change(data)
    with open(path, "w") as file:
        json.dump(data, file)


def main(arguments: list[str]) -> None:
    """Rewrite what runc is about to read, then become runc."""
    bundle, process = option(arguments, "--bundle", "-b"), option(arguments, "--process", "-p")
    if "create" in arguments and bundle:

        def change(spec: dict[str, Any]) -> None:
            soften(spec["process"])
            group = os.path.basename(spec["linux"]["cgroupsPath"])
            spec["linux"]["cgroupsPath"] = f"/{os.environ['TESTBED_CGROUP']}/{group}"
            if os.path.isdir(os.path.join(bundle, spec["root"]["path"], "host-venv")):
                bind_host(spec, ["/usr", "/opt", *os.environ.get("TESTBED_HOST_DIRS", "").split(":")])

        rewrite(f"{bundle}/config.json", change)
    elif "exec" in arguments and process:
        rewrite(process, soften)
    os.execv(RUNC, [RUNC, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
