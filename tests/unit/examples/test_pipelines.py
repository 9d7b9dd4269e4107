"""The pipelines of examples/airflow and examples/github-actions call what there is."""

import ast
import inspect
import shlex
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from bluetune import Client
from bluetune.app import app
from bluetune.client import Submission

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def calls_of_client(source: str) -> list[tuple[str, ast.Call]]:
    return [
        (node.func.attr, node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "client"
    ]


def test_the_dag_compiles_and_calls_the_client_as_it_is() -> None:
    source = (EXAMPLES / "airflow" / "fine_tune_products.py").read_text()
    compile(source, "dag", "exec")
    calls = calls_of_client(source)
    assert [name for name, _ in calls] == ["submit", "wait"]
    for name, call in calls:
        options = {str(keyword.arg) for keyword in call.keywords}
        inspect.signature(getattr(Client, name)).bind(None, *call.args, **dict.fromkeys(options))
        assert name != "submit" or options <= Submission.__annotations__.keys()


def test_the_workflow_runs_a_command_that_there_is_within_its_own_time() -> None:
    workflow: dict[Any, Any] = yaml.safe_load((EXAMPLES / "github-actions" / "fine-tune.yml").read_text())
    job = workflow["jobs"]["fine-tune"]
    (line,) = [
        line for step in job["steps"] for line in step.get("run", "").splitlines() if line.startswith("bluetune ")
    ]
    _, name, *arguments = shlex.split(line)
    command: Any = get_command(app)
    options = command.commands[name].make_context(name, arguments).params  # refuses an option that is not there
    assert (options["wait"], options["deploy"]) == (True, True)
    assert options["timeout"] < job["timeout-minutes"] * 60
