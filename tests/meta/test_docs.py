"""The generated pages are what the rules and the history say."""

from __future__ import annotations

from pathlib import Path

import pytest

from memslots import docs
from memslots.rules.catalogue import all_rules

DOCS = Path(__file__).parents[2] / "docs"


def test_no_page_is_stale() -> None:
    assert docs.stale(str(DOCS)) == [], "run `python -m memslots.docs`"


def test_writing_makes_fresh_removes_and_is_stable(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rule-that-never-was.md").write_text("gone")
    assert docs.main([str(tmp_path)]) == 0
    assert docs.stale(str(tmp_path)) == []
    assert not (tmp_path / "rules" / "rule-that-never-was.md").exists()
    (tmp_path / "kernels.md").write_text("old")
    assert docs.main(["--check", str(tmp_path)]) == 1
    assert docs.write(str(tmp_path)) == ["kernels.md"]


def test_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main([str(tmp_path / "no")]) == 2
    assert docs.main(["--no"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_every_rule_has_what_a_page_needs(rule: object) -> None:
    page = docs.pages()[f"rules/{rule.id}.md"]
    for heading in ("Refuses when", "Answer", "What to do", "Kernels", "Source"):
        assert f"## {heading}\n" in page
