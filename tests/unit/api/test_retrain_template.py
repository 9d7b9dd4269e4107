"""What `spec.retrain.template` says is what a FineTuningTask may say, so no task that it makes is refused."""

from typing import Any

import pytest

from bluetune_api.retrain import TaskTemplate
from bluetune_api.task import FineTuningTaskSpec

UNLIKE = ("default", "description", "title", "x-immutable")


def accepted(field: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without its words, its default, and whether it may change."""
    return {name: value for name, value in field.items() if name not in UNLIKE}


@pytest.mark.parametrize("name", sorted(TaskTemplate.model_json_schema()["properties"]))
def test_a_field_of_the_template_takes_what_the_tasks_field_takes(name: str) -> None:
    template, task = (model.model_json_schema()["properties"] for model in (TaskTemplate, FineTuningTaskSpec))
    assert accepted(template[name]) == accepted(task[name])
