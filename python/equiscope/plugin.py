"""For pytest, which finds it by itself: the fixture `assert_equivariant` and the marker ``equivariance``.

Neither torch nor the rest of equiscope is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

MARKER = "equivariance"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, so that ``--strict-markers`` accepts it."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(**settings): keywords of equiscope.testing.assert_equivariant for the fixture of that name; those "
        "of a test go before those of its class and module, and those of the call before all",
    )


@pytest.fixture
def assert_equivariant(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`equiscope.testing.assert_equivariant` with the keywords of the markers ``equivariance`` already given."""
    from equiscope.errors import ArgumentError, fail
    from equiscope.testing import assert_equivariant as unbound

    settings: dict[str, object] = {}
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        if marker.args:
            fail(ArgumentError, f"pytest.mark.{MARKER}", "keywords alone", ", ".join(map(repr, marker.args)))
        settings |= marker.kwargs
    return lambda model, data, **own: unbound(model, data, **{**settings, **own})
