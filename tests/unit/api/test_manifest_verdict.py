"""The verdict of the types on the shared table."""

import pytest

from api import manifests
from bluetune_api.manifest import ManifestError, check_update, parse


@pytest.mark.parametrize("case", manifests.CASES, ids=lambda c: c.name)
def test_types_judge_a_manifest(case: manifests.Case) -> None:
    if case.field is None:
        parse(case.manifest())
        return
    with pytest.raises(ManifestError) as refused:
        parse(case.manifest())
    assert case.field in str(refused.value)


@pytest.mark.parametrize("case", manifests.UPDATES, ids=lambda c: c.name)
def test_types_judge_a_change(case: manifests.Update) -> None:
    before, after = case.manifests()
    parse(before)
    if case.field is None:
        check_update(before, after)
        return
    with pytest.raises(ManifestError) as refused:
        check_update(before, after)
    assert case.field in str(refused.value)
