"""Which programs are built again."""

from pathlib import Path

from cluster.programs import PROGRAMS, missing


def test_a_program_is_built_when_it_or_its_recipe_is_missing_or_another(tmp_path: Path) -> None:
    assert missing(tmp_path) == list(PROGRAMS)
    for program in PROGRAMS:
        (tmp_path / program.name).touch()
        (tmp_path / f"{program.name}.built-from").write_text(program.recipe())
    assert missing(tmp_path) == []
    first, second, third, *_ = PROGRAMS
    (tmp_path / first.name).unlink()
    (tmp_path / f"{second.name}.built-from").unlink()
    (tmp_path / f"{third.name}.built-from").write_text(third.recipe() + "another version")
    assert missing(tmp_path) == [first, second, third]


def test_every_recipe_names_a_version_or_the_digest_of_its_sources() -> None:
    for program in PROGRAMS:
        source = program.recipe().split()[1]
        assert source.startswith("v") or len(source) == 64
