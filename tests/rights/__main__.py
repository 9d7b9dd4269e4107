"""`python tests/rights`: what operators asked of the local cluster's API server, and what they may ask for."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster.lifecycle import Cluster
from rights.audit import compare, granted, read
from rights.granting import roles

if __name__ == "__main__":
    (role,) = [each for each in roles() if each["kind"] == "ClusterRole"]
    found = compare(read(Cluster().state.audit), granted(role["rules"]))
    print(found.table())
    sys.exit(bool(found.unused or found.missing))
