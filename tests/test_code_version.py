"""The code hash of a stage changes only with its code."""

import pytest

from rtmri_speech import code_version


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules: stage imports deep lazily, other stands alone."""
    monkeypatch.setattr(code_version, "_ROOT", tmp_path)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "__init__.py").write_text("")
    (tmp_path / "part" / "stage.py").write_text(
        '"""A stage."""\nCONSTANT = 1\n"""What it is."""\n\n\n'
        "def run():\n    from rtmri_speech.part import deep\n    from rtmri_speech.settings.part import Part\n"
        "    return deep.x\n"
    )
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "__init__.py").write_text("")
    (tmp_path / "settings" / "part.py").write_text('class Part:\n    description = "Hz."\n')
    (tmp_path / "part" / "deep.py").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("y = 1\n")

    def change(name, old, new):
        path = tmp_path / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        code_version._module_facts.cache_clear()

    code_version._module_facts.cache_clear()
    yield change
    code_version._module_facts.cache_clear()


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("part/stage.py", '"""A stage."""', '"""Another word."""'),
        ("part/stage.py", '"""What it is."""', '"""Said otherwise."""'),
        ("part/stage.py", "CONSTANT = 1", "CONSTANT = 1  # why"),
        ("part/stage.py", "CONSTANT = 1", "\n\nCONSTANT    =   1"),
        ("other.py", "y = 1", "y = 2"),
        ("settings/part.py", "Hz.", "Frequency, Hz."),
    ],
)
def test_comments_layout_and_other_modules_do_not_change_the_hash(package, module, old, new):
    before = code_version.code_hash("part.stage")
    package(module, old, new)
    assert code_version.code_hash("part.stage") == before


@pytest.mark.parametrize(
    ("module", "old", "new"), [("part/stage.py", "CONSTANT = 1", "CONSTANT = 2"), ("part/deep.py", "x = 1", "x = 2")]
)
def test_code_of_the_stage_and_its_imports_changes_the_hash(package, module, old, new):
    before = code_version.code_hash("part.stage")
    package(module, old, new)
    assert code_version.code_hash("part.stage") != before
