"""The page that shows what was measured: tables stand between its markers."""

from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "kernels.md"


def shown(markers: tuple[str, str]) -> str:
    """What stands between two markers."""
    return PAGE.read_text(encoding="utf-8").split(markers[0])[1].split(markers[1])[0]


def rewrite(markers: tuple[str, str], text: str) -> None:
    before, rest = PAGE.read_text(encoding="utf-8").split(markers[0])
    _, after = rest.split(markers[1])
    PAGE.write_text(before + markers[0] + text + markers[1] + after, encoding="utf-8")
