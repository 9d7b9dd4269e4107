"""The command line as a whole: it starts without torch, and every mistake is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bluetune.__main__ import main
from bluetune.core.errors import Exit


def test_it_imports_neither_torch_nor_the_operator_nor_the_trainer() -> None:
    program = "import sys, bluetune.app; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not {"torch", "kopf", "bluetune_operator", "bluetune_trainer", "transformers"} & set(done.stdout.split())


@pytest.mark.parametrize(
    "line",
    [
        ["nonsense"],
        ["submit"],
        ["watch", "t", "-o", "csv"],
        ["submit", "m", "--param", "x"],
        ["submit", "m", "--timeout", "0"],
        ["retry", "t", "--timeout", "60"],
    ],
)
def test_what_cannot_be_understood_ends_with_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == Exit.USAGE
    assert capsys.readouterr().err


@pytest.mark.parametrize(("program", "called"), [("bluetune", "bluetune"), ("kubectl-bluetune", "kubectl bluetune")])
def test_help_names_the_program_as_it_was_called(
    program: str, called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{program}"])
    assert main(["watch", "--help"]) == Exit.DONE
    assert f"Usage: {called} watch" in capsys.readouterr().out


@pytest.mark.parametrize("line", [["--help"], ["logs", "--help"]])
def test_output_that_nobody_reads_is_no_failure(line: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bluetune", *line], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (Exit.DONE, "")


def test_without_a_kubeconfig_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["watch", "t"]) == Exit.UNREACHABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the kubeconfig cannot be used: ")


def test_a_kubeconfig_that_is_none_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(path))
    for content in ("", "[]", "a: [", "contexts: []"):
        path.write_text(content)
        assert main(["watch", "t"]) == Exit.UNREACHABLE
        assert len(capsys.readouterr().err.splitlines()) == 1
