"""Every view works for any group, and says nothing about sigma where there is none."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from report_builder import OCTAHEDRAL, octahedral, octahedral_samples, of_chart, rotations_only, shares, spectrum

from equiscope.groups import O3, SO3, Chart
from equiscope.report import KINDS, Audit, Spectrum, available, to_text
from equiscope.report.words import family_title, irrep_full, irrep_list, irrep_place
from equiscope.result.verdict import actual_irrep, error_sectors

AXIAL = Chart(
    group="O2",
    lmax=3,
    labels=("A1", "A2", "E1", "E2", "E3"),
    shape=(5,),
    axes=("irrep",),
    names=("A1", "A2", "E1", "E2", "E3"),
    symbols=("A1", "A2", "E1", "E2", "E3"),
    columns=(0, 0, 1, 2, 3),
    headings=("0", "1", "2", "3"),
    axis="m",
    families=(0, 1, 0, 0, 0),
    family_names=("even", "odd"),
)
"""Named irreps in numbered columns, one column with two families."""

BUILDERS = [rotations_only, octahedral, octahedral_samples]
SIGMA = re.compile(r"sigma|σ|pseudo|proper|e3nn", re.IGNORECASE)


def words_of(page: str) -> str:
    """What a reader sees of a page, pictures aside."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style.*?</style>|<svg.*?</svg>", "", page))


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_nothing_mentions_sigma_where_the_group_has_none(build: Callable[[], Audit]) -> None:
    audit = build()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = [to_text(audit, 100), words_of(audit.to_html()), *audit.findings()]
    texts += [" ".join(audit.to_pandas().columns), *map(str, audit.to_xarray().dims)]
    for kind in available(audit):
        figure = audit.plot(kind)
        texts += [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    found = [match.group() for text in texts if (match := SIGMA.search(text.replace("not as declared", "")))]
    assert not found


def test_an_audit_on_rotations_counts_degrees() -> None:
    audit = rotations_only()
    text = to_text(audit, 100)
    assert re.search(r"^second +0\.70 +0\.30 +5e-3 ", text, re.MULTILINE) and "l=8 >8" in text
    assert "group SO3" in text and "turns like l=2." in " ".join(text.split())
    columns = ["name", "kind", "unit", "l", "irrep", "power", "power_error", "share", "floor"]
    assert list(audit.to_pandas().columns) == columns
    assert audit.to_xarray().power.dims == ("layer", "l")
    assert "the group SO(3) of rotations" in audit.to_html()


def test_an_audit_on_a_finite_group_names_its_irreps() -> None:
    audit = octahedral()
    text = to_text(audit, 100)
    assert re.search(r"^layer +A1g +Eg +T1u +T2g +A2u +T2u +unres\.$", text, re.MULTILINE)
    assert "`second` is the first layer with power in T2u (0.500% of its power)" in audit.findings()[2]
    frame = audit.to_pandas()
    assert frame[(frame.name == "second") & (frame.irrep == "T2u")].share.item() == pytest.approx(0.005)
    assert float(audit.to_xarray().share.sel(layer="broken", irrep="T2u")) == pytest.approx(1e-4)
    ticks = [tick.get_text() for tick in audit.plot("layers").axes[0].get_xticklabels()]
    assert ticks == list(OCTAHEDRAL.headings)


def test_samples_of_another_group_are_pooled() -> None:
    one, many = octahedral(), octahedral_samples()
    assert many.layers["second"].power.shape == (6, 5, 2)
    torch.testing.assert_close(many.layers["second"].fractions, one.layers["second"].fractions)
    assert error_sectors(many.outputs["broken"]) == pytest.approx(error_sectors(one.outputs["broken"]))


def test_labels_are_what_verdicts_speak_of() -> None:
    audit = octahedral()
    assert actual_irrep(audit.outputs["exact"]) == "T1u"
    assert list(error_sectors(audit.outputs["broken"])) == ["T2u"]
    assert actual_irrep(rotations_only().outputs["exact"]) == 1


def test_the_heat_map_has_a_panel_for_each_family() -> None:
    for build, panels in ((octahedral, 1), (rotations_only, 1)):
        figure = build().plot("layers")
        assert len(figure.axes) == panels + 2  # with what lies above, and the scale
        shown = figure.axes[0].collections[0].get_array()
        expected = build().layers["second"].fractions.numpy()
        drawn = ~np.ma.getmaskarray(shown[1])
        np.testing.assert_allclose(shown[1][drawn], expected[drawn])


def test_irreps_in_words() -> None:
    o3, so3 = O3().chart(4), SO3().chart(4)
    assert irrep_place(o3, (2, -1)) == "l=2, pseudo (sigma = -1)" and irrep_place(so3, 2) == "l=2"
    assert irrep_full(o3, (1, 1)) == "vector (1o)" and irrep_full(o3, (7, -1)) == "l=7 (pseudo) (7e)"
    assert irrep_full(so3, 1) == "vector" and irrep_full(OCTAHEDRAL, "T1u") == "T1u"
    assert irrep_list(so3, [2, 0, 1]) == "l=0..2" and irrep_list(OCTAHEDRAL, ["T2u", "Eg"]) == "Eg, T2u"
    assert [family_title(o3, 1), family_title(so3, 0)] == ["pseudo, σ = −1", ""]


def test_a_spectrum_without_a_chart_is_one_of_o3() -> None:
    found = spectrum("a", shares(5, 0.5, 0.1))
    assert found.chart == O3().chart(5) and found.lmax == 5


def test_charts_lay_power_out_by_column_and_family() -> None:
    chart = O3().chart(3)
    power = torch.arange(8, dtype=torch.float64).reshape(4, 2)
    assert torch.equal(chart.by_family(power), power) and torch.equal(chart.by_column(power), power.sum(1))
    assert torch.equal(SO3().chart(2).by_family(power[:3, 0]), power[:3, :1])
    assert [chart.title(2), OCTAHEDRAL.title(2)] == ["l=2", "T1u"] and chart.counts and not OCTAHEDRAL.counts


def test_every_picture_is_drawn_for_every_group() -> None:
    for build in BUILDERS:
        assert available(build()) == [kind for kind in KINDS if kind not in ("targets", "worst", "convergence")]
        assert isinstance(build().layers["first"], Spectrum)


@pytest.mark.usefixtures("blank_pictures")
def test_families_that_fill_some_columns_only_leave_the_others_blank(tmp_path: Path) -> None:
    audit = of_chart(AXIAL, "E1", "A2")
    assert re.search(r"^second +0\.70 +0\.29 +- +- +5e-3 +-$", to_text(audit, 100), re.MULTILINE)
    assert "turns like m=0, odd." in " ".join(str(audit).split())
    assert any(
        "`second` is the first layer with power in the odd m=0 (0.500% of its power)" in line
        for line in audit.findings()
    )
    axes = audit.plot("layers").axes[1]
    (mesh,) = axes.collections
    assert axes.get_title(loc="left") == "odd" and np.ma.getmaskarray(mesh.get_array())[1].tolist() == [False]
    assert audit.to_xarray().power_error.dims == ("layer", "irrep")
    assert Audit.load(audit.save(tmp_path)).layers["second"].chart == AXIAL
