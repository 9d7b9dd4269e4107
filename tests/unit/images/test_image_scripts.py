"""What an image's name depends on, and what of this machine's pip settings a build gets to see."""

import shutil
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path.append(str(CHECKOUT / "scripts"))

from image_engines import CA_IN_BUILD, build_secrets, pip_settings  # noqa: E402
from image_inputs import IMAGES, inputs, reference  # noqa: E402

OPERATOR, TRAINER = IMAGES


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of all that the images are made of."""
    for image in IMAGES:
        for path in inputs(image, CHECKOUT):
            copy = tmp_path / path.relative_to(CHECKOUT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return tmp_path


def test_the_same_files_give_the_same_name(checkout: Path) -> None:
    assert reference(OPERATOR, checkout, "base:1") == reference(OPERATOR, CHECKOUT, "base:1")
    assert reference(OPERATOR, checkout, "base:1") != reference(TRAINER, checkout, "base:1")


@pytest.mark.parametrize(
    "changed", ["operator/Dockerfile", "locks/operator.txt", "crds/bluetune_api/task.py", "pyproject.toml"]
)
def test_another_content_gives_another_name(checkout: Path, changed: str) -> None:
    before = reference(OPERATOR, checkout, "base:1")
    (checkout / changed).write_text("something else")
    assert reference(OPERATOR, checkout, "base:1") != before


def test_a_new_file_and_another_base_give_another_name(checkout: Path) -> None:
    before = reference(OPERATOR, checkout, "base:1")
    assert reference(OPERATOR, checkout, "base:2") != before
    (checkout / "operator/bluetune_operator/more.py").touch()
    assert reference(OPERATOR, checkout, "base:1") != before


def test_compiled_files_do_not_matter(checkout: Path) -> None:
    before = reference(OPERATOR, checkout, "base:1")
    cache = checkout / "operator/bluetune_operator/__pycache__"
    cache.mkdir()
    (cache / "x.cpython-311.pyc").touch()
    assert reference(OPERATOR, checkout, "base:1") == before


def test_pip_settings_come_from_files_and_are_overridden_by_variables(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nproxy = http://one:1\ntimeout = 5\nno-color = true\n")
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(file), "PIP_TIMEOUT": "9", "PIP_FIND_LINKS": "/x"}
    found = pip_settings(environment)
    assert found["proxy"] == "http://one:1"
    assert found["timeout"] == "9"
    assert not {"no-color", "find-links"} & found.keys()


def test_a_build_sees_settings_and_authorities_as_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.touch()
    monkeypatch.setenv("PIP_CERT", str(authorities))
    monkeypatch.setenv("PIP_RETRIES", "7")
    with build_secrets() as options:
        assert options[::2] == ["--secret", "--secret"]
        assert f"id=ca.pem,src={authorities}" in options
        configuration = Path(options[-1].removeprefix("id=pip.conf,src="))
        lines = configuration.read_text().splitlines()
        assert lines[0] == "[global]"
        assert {f"cert = {CA_IN_BUILD}", "retries = 7"} <= set(lines)
    assert not configuration.exists()
