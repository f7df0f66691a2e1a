"""Every row of docs/kinds.md: what theory says of a kind of model, an audit says too."""

from pathlib import Path

import kinds
import pytest

PAGE = Path(__file__).parent.parent / "docs" / "kinds.md"


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: f"{kind.section}: {kind.what}")
def test_an_audit_says_what_theory_says(kind):
    answer = kind.ask()
    assert answer.right, f"expected {kind.known}, found {answer.found} (error bar {answer.error})"


def test_the_page_has_a_row_for_each_and_none_that_is_wrong():
    page = PAGE.read_text()
    assert len(kinds.KINDS) >= 60
    for number, kind in enumerate(kinds.KINDS, 1):
        what = f"{kind.section}: {kind.what}".replace("|", "\\|")
        assert f"| {number} | {what} |" in page
    assert "**wrong**" not in page
