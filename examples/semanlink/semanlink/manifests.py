"""The manifests of this folder for a cluster of the user's own: other images, and no GPU where there is none."""

import yaml

from semanlink.target import GPU, SEARCH_IMAGE


def rendered(text: str, *, search_image: str, gpu: bool) -> str:
    """A manifest with another image of the search service, and without GPU limits unless the cluster has GPUs."""
    documents = list(yaml.safe_load_all(text.replace(SEARCH_IMAGE, search_image)))
    for document in documents:
        if document["kind"] == "FineTuningMethod" and not gpu:
            document["spec"]["podTemplate"]["resources"]["limits"].pop(GPU, None)
    return yaml.safe_dump_all(documents, sort_keys=False)
