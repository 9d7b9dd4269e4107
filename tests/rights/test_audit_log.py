"""After the lanes with operators: each right that the chart grants was used, and none was missed.

The names of the lanes' folders put this one behind them in `make test`.
"""

import pytest

from cluster.lifecycle import Cluster
from rights.audit import compare, granted, read
from rights.granting import roles


def test_every_right_was_used_and_none_was_missing(cluster: Cluster) -> None:
    (role,) = [each for each in roles() if each["kind"] == "ClusterRole"]
    found = compare(read(cluster.state.audit), granted(role["rules"]))
    if not found.used:
        pytest.skip("no operator has run on this cluster: run the other lanes first (make test)")
    print(found.table())
    assert found.missing == []
    assert found.unused == []
