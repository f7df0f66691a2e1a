"""docs/layers.md: its examples run, one after the other."""

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "layers.md").read_text()


def test_the_examples_run():
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 4
    exec(compile("\n".join(examples), "layers.md", "exec"), {"__name__": "layers"})
