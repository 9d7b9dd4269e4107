"""The site of the docs: `make site` writes it into out/site, `make check` sees that it builds without a warning.

Sphinx and MyST read each page as it lies in the repository, and as a Git host reads it: CommonMark, relative links, the
host's anchors. A page that no list below names is a warning, and so is a link or an anchor that leads nowhere.
"""

from sphinx.application import Sphinx

project = html_title = "bluetune"
copyright = "the authors of bluetune"  # noqa: A001 # Sphinx's name for it
extensions = ["myst_parser"]
root_doc = "README"
exclude_patterns = [".*", "build", "dist", "out"]
templates_path = ["_templates"]
smartquotes = False
myst_heading_anchors = 6
highlight_language = "none"  # a block without a language is what a terminal shows
suppress_warnings = ["misc.highlighting_failure"]  # pygments does not know $1 in SQL, and colours the rest

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "index.html"}
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_use_index = False

NAVIGATION = {
    "Use": (
        "docs/concepts",
        "docs/logs",
        "docs/formats",
        "docs/models",
        "docs/reference",
        "docs/cli",
        "docs/ui",
        "docs/python",
    ),
    "Operate": (
        "docs/operations",
        "docs/security",
        "docs/troubleshooting",
        "docs/runbook",
        "examples/servers/README",
        "examples/gitops/README",
    ),
    "Extend": (
        "docs/plugins",
        "examples/plugin/README",
        "docs/coming-from-embedding-studio",
        "examples/plugin-embedding-studio/README",
    ),
    "Weigh up": (
        "docs/comparison",
        "examples/semanlink/README",
        "examples/search-service/README",
        "benchmarks/README",
        "benchmarks/results/quality",
    ),
    "Work on it": (
        "CONTRIBUTING",
        "docs/architecture",
        "tests/cluster/README",
        "tests/chaos/README",
        "CHANGELOG",
    ),
    "Decisions": (
        "docs/decisions/README",
        "docs/decisions/lock",
        "docs/decisions/gate",
        "docs/decisions/store-identity",
        "docs/decisions/one-plan",
        "docs/decisions/promote",
        "docs/decisions/shared-methods",
        "docs/decisions/folders",
        "docs/decisions/docs-site",
    ),
}


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Sphinx reads the navigation from the first page. It is added here, because a Git host would show it as code."""
    if page == root_doc:
        for caption, pages in NAVIGATION.items():
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
