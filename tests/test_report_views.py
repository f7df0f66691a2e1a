"""The table, the pictures, the page and the frames show what the audit holds, for any size and any name."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from report_builder import hostile, output, realistic, rows, shares, spectrum, with_samples
from rich.console import Console

from equiscope.errors import ArgumentError, MissingExtraError
from equiscope.groups import O3
from equiscope.report import KINDS, Audit, Failure, available, to_rich, to_text
from equiscope.report.format import broken, number, percent, runs, short_share
from equiscope.report.names import Names
from equiscope.report.orientation import describe
from equiscope.report.palette import RULE
from equiscope.report.words import irrep_list

VOID = {"meta", "wbr", "br", "link", "img", "input", "hr"}


def many_layers() -> Audit:
    return realistic(1, 60)


def many_systems() -> Audit:
    return realistic(2000, 3)


def outputs_only() -> Audit:
    audit = realistic(3, 2)
    audit.layers, audit.convergence = {}, []
    return audit


def one_layer() -> Audit:
    layers = {"only": spectrum("only", shares(0, 0.5, 0.1))}
    return Audit({}, layers, rows(1, {}, layers))


def empty() -> Audit:
    return Audit({}, {}, [])


@cache
def page(build: Callable[[], Audit]) -> str:
    """The page of one of the audits above, made once, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return build().to_html()


EXTREMES = [realistic, with_samples, hostile, many_layers, many_systems, outputs_only, one_layer, empty]


# ---- numbers and names


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (0.001, "0.00100"),
        (0.00099999, "0.00100"),
        (0.000999, "9.99e-04"),
        (1, "1.00"),
        (12.345, "12.3"),
        (123.4, "123"),
        (999.6, "1.00e+03"),
        (1e-7, "1.00e-07"),
        (-41.0, "-41.0"),
        (1.5e300, "1.50e+300"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (None, "-"),
    ],
)
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_numbers_are_right_to_three_digits() -> None:
    for value in np.exp(np.random.default_rng(0).uniform(-40, 40, 500)):
        assert float(number(value)) == pytest.approx(value, rel=0.00501)


def test_shares_are_per_cent_or_bare() -> None:
    assert [percent(v) for v in (0.0, 1.0, 0.0123, 1e-3, 3e-4)] == [
        "0%",
        "100%",
        "1.23%",
        "0.100%",
        "3.00e-04",
    ]
    assert [short_share(v, 1e-9) for v in (1.0, 0.914, 0.02, 1e-9, 0.0)] == ["1", "0.91", "2e-2", "-", "-"]


def test_names_that_do_not_fit_are_broken_into_lines_and_lose_nothing() -> None:
    name = "encoder.layers.11.self_attention:input['key_padding_mask']#2"
    assert broken(name, 100) == name
    assert broken(name, 24).split("\n") == ["encoder.layers.11.", "self_attention:input", "['key_padding_mask']#2"]
    assert broken(name, 12, " ").split("\n")[2:4] == [" self_", " attention:"]
    for width in range(1, 70):
        lines = broken(name, width).split("\n")
        assert "".join(lines) == name and max(map(len, lines)) <= width
    assert broken("x" * 10, 6, "  ").split("\n") == ["xxxxxx", "  xxxx"]
    assert broken("augmented by turns", 13).split("\n") == ["augmented by ", "turns"]


def test_runs_and_sector_names() -> None:
    assert runs([3, 0, 1, 2, 7, 8]) == "0..3, 7, 8"
    assert irrep_list(O3().chart(8), [(2, 1), (3, 1)]) == "l=2, 3"
    assert irrep_list(O3().chart(8), [(2, 1), (1, -1)]) == "l=2 and the pseudo l=1"
    assert irrep_list(O3().chart(8), [(2, 1), (2, -1)]) == "l=2, proper and pseudo"


def test_orientations_are_described() -> None:
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert describe(turn) == "rotation by 90 deg about (0.00, 0.00, 1.00)"
    assert describe(-turn).endswith("(0.00, 0.00, 1.00), then inversion")
    assert [describe(m) for m in (torch.eye(3), -torch.eye(3), None)] == ["the identity", "inversion", "-"]


# ---- table


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("build", EXTREMES, ids=lambda build: build.__name__)
def test_the_table_fits_its_width(build: Callable[[], Audit], width: int) -> None:
    lines = to_text(build(), width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)


WHAT = ("", ":input", ":softmax#2")
LONG = [
    *(f"backend.message_passing_layers.{i}.self_attention_output_projection{what}" for i in range(20) for what in WHAT),
]


@pytest.mark.usefixtures("blank_pictures")
def test_names_stand_whole_wherever_they_stand_and_are_the_keys(tmp_path: Path) -> None:
    audit = realistic()
    audit.layers = {name: spectrum(name, shares(8, 0.1, 1e-7)) for name in LONG}
    names = Names(LONG)
    texts = [names[name].text for name in LONG]
    for width in (80, 100, 140):
        text = to_text(audit, width)
        told = _names_in_table(text)
        assert [each for each in texts if each in told] == told and {texts[0], texts[-1]} <= set(told)
        assert f"{len(LONG) - len(told)} more layers" in text and names.prefix in text
    audit.save(tmp_path)
    assert list(json.loads((tmp_path / "audit.json").read_text())["layers"]) == LONG
    page = (tmp_path / "index.html").read_text().replace("<wbr>", "")
    assert all(html.escape(name) in page for name in LONG)
    (axes, *_) = audit.plot("layers").axes
    assert {names[name].inner for name in LONG} <= {label.get_text() for label in axes.texts}


def _names_in_table(text: str) -> list[str]:
    """The first column of the table of layers, lines that go on put together."""
    found: list[str] = []
    for line in text.split("\nlayer ", 1)[1].split("\nLayers: ")[0].splitlines()[2:]:
        if line.startswith("  "):
            found[-1] += line.strip()
        else:
            found.append(line.split(" ", 1)[0])
    return found


def test_the_table_shows_outputs_layers_findings_and_warnings() -> None:
    audit = realistic()
    audit.failures = [Failure("water_9", "dipole", "NaN in 2 values", 5, torch.eye(3))]
    text = to_text(audit, 120)
    assert re.search(r"^energy +scalar +breaks +40 +0\.0123 +3\.00e-04 +1\.97e-05 +- +system_11$", text, re.MULTILINE)
    assert re.search(r"^embedding +0\.970 +2\.91e-2 .* 1\.00e-7$", text, re.MULTILINE)
    names = Names(audit.layers)
    assert names.prefix in text and all(name in text for name in audit.outputs)
    assert all(names[name].text in text for name in [*list(audit.layers)[:5], *list(audit.layers)[-5:]])
    assert "Failures (1)\n- `water_9` at `dipole`: NaN in 2 values" in text
    assert "Warnings (1)\n- TF32 is allowed in matrix products." in text
    assert "134 400 evaluations" in text and "grid degree 20 (3 360 rotations)" in text
    assert str(audit).splitlines()[0].startswith("equiscope audit of MessagePassingTransformer")


def test_the_table_is_plain_ascii_where_names_are() -> None:
    assert to_text(realistic(), 80).isascii()


def test_the_table_takes_names_literally() -> None:
    text = to_text(hostile(), 200)
    assert "<script>alert('x')</script> & \"q\" [bold]/../`{{ 7*7 }}" in text


def test_layers_with_a_representation_have_a_table_of_their_errors() -> None:
    audit = with_samples()
    assert re.search(r"^first/power +1x1o +breaks +5 +0\.0100 +0\.0200 ", to_text(audit, 100), re.MULTILINE)
    assert "Layers whose representation is known" in page(with_samples)
    assert "Layers whose representation is known" not in page(realistic)


def test_many_failures_and_warnings_are_counted() -> None:
    audit = realistic()
    audit.failures = [Failure(f"s{i}", "energy", "NaN" + "x" * i) for i in range(300)]
    text = to_text(audit, 80)
    assert "Failures (300)" in text and "... and 280 more" in text and "s299" not in text


def test_high_degrees_share_a_column_in_a_narrow_table() -> None:
    layers = {"encoder.layers.0": spectrum("encoder.layers.0", shares(20, 0.5, 0.1))}
    text = to_text(Audit({}, layers, []), 80)
    assert re.search(r"l=8 +9-20 +pseudo +>20", text)


def test_the_rich_table_is_coloured_and_says_the_same() -> None:
    buffer = io.StringIO()
    Console(file=buffer, width=120, force_terminal=True, color_system="standard").print(to_rich(realistic(), 120))
    coloured = buffer.getvalue()
    assert "\x1b[32m" in coloured
    bare = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()]
    assert "\n".join(bare).strip("\n") == to_text(realistic(), 120)


# ---- pictures


@pytest.mark.parametrize("build", EXTREMES, ids=lambda build: build.__name__)
def test_every_available_picture_fits_a_page(build: Callable[[], Audit]) -> None:
    for kind in available(build()):
        assert max(build().plot(kind).get_size_inches()) < 18


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("targets", "worst")])
def test_every_picture_draws_without_a_warning(kind: str) -> None:
    """Those of labels and of scenes: test_targets.py, test_worst.py."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        realistic().plot(kind).savefig(buffer, format="png", dpi=60)
    assert buffer.getvalue().startswith(b"\x89PNG") and len(buffer.getvalue()) > 5000


def test_the_heat_map_shows_every_share_in_its_place() -> None:
    audit = realistic()
    figure = audit.plot("layers")
    for sigma in range(2):
        shown = figure.axes[sigma].collections[0].get_array()
        for i, layer in enumerate(audit.layers.values()):
            row = shown[i]
            expected = layer.fractions[:, sigma].numpy()
            drawn = ~np.ma.getmaskarray(row)
            np.testing.assert_allclose(row[drawn], np.maximum(expected[drawn], 1e-12), rtol=1e-6)
    places = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert [places[name] for name in audit.outputs] == [len(audit.layers) + 1 + i for i in range(len(audit.outputs))]
    assert places["embedding"] == 0 and places["heads.energy.hidden"] == len(audit.layers) - 1
    assert not np.ma.getmaskarray(figure.axes[0].collections[0].get_array()[0])[0]


def test_cells_below_noise_and_error_are_grey() -> None:
    layers = {
        "a": spectrum("a", shares(4, 1e-4, 1e-9)),
        "b": spectrum("b", shares(4, 0.3, 0.1), error=1.0),
    }
    axes = Audit({}, layers, []).plot("layers").axes
    (mesh,) = axes[0].collections
    grey = np.ma.getmaskarray(mesh.get_array())
    assert to_hex(mesh.cmap.get_bad()) == RULE
    assert grey[0].tolist() == [False, False, False, True, True]
    assert grey[1].tolist() == [False, False, True, True, True]


def test_spectra_of_chosen_names() -> None:
    audit = realistic()
    from equiscope.report import plot

    figure = plot(audit, "spectra", names=["dipole", "embedding"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["dipole", "embedding"]
    shown = figure.axes[0].get_lines()[0].get_ydata()
    np.testing.assert_allclose(shown[1:], audit.outputs["dipole"].fractions[1:, 0].numpy())


@pytest.mark.parametrize(
    "kind, names, message",
    [
        ("pie", None, "layers, spectra, targets, systems, worst, convergence"),
        ("spectra", ["nobody"], "nobody"),
        ("layers", ["energy"], "names"),
    ],
)
def test_unknown_kinds_and_names_are_refused(kind: str, names: list[str] | None, message: str) -> None:
    from equiscope.report import plot

    with pytest.raises(ArgumentError, match=message):
        plot(realistic(), kind, names)


def test_pictures_without_numbers_say_why() -> None:
    audit = realistic()
    audit.convergence = audit.convergence[:1]
    with pytest.raises(ArgumentError, match=r"at least two degrees.*1 in audit\.convergence"):
        audit.plot("convergence")
    with pytest.raises(ArgumentError, match=r"systems.*an output"):
        one_layer().plot("systems")
    for kind in KINDS:
        with pytest.raises(ArgumentError):
            empty().plot(kind)


def test_dollar_signs_in_names_are_no_formulae() -> None:
    outputs = {name: output(name, "scalar", (0, 1), relative=0.1) for name in ("$a_b$", "$\\broken")}
    assert "$a_b$" in Audit(outputs, {}, rows(60, outputs, {})).to_html()


def test_no_pyplot_no_global_setting_and_no_matplotlib_before_the_first_picture() -> None:
    code = (
        "import sys; sys.path[:0] = ['tests']\n"
        "from report_builder import realistic\n"
        "audit = realistic(3, 2)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib; before, known = matplotlib.rcParams.copy(), 'matplotlib.pyplot' in sys.modules\n"
        "[audit.plot(kind) for kind in ('layers', 'spectra', 'systems', 'convergence')]\n"
        "audit.outputs = {}; audit.to_html()\n"
        "assert known or 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


# ---- page


class Page(HTMLParser):
    """Checks that tags nest, and gathers what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.events: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        for key, value in attrs:
            if key in ("href", "src", "xlink:href", "srcset", "data", "action"):
                self.links.append(value or "")
            if key == "id":
                self.ids.append(value or "")
            if key.startswith("on"):
                self.events.append(key)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("build", EXTREMES, ids=lambda build: build.__name__)
def test_the_page_is_well_formed_and_self_contained_and_lets_one_script_run(
    build: Callable[[], Audit],
) -> None:
    text = page(build)
    found = Page(text)
    assert not found.open
    assert found.seen.count("script") == 1 and not found.events
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text
    assert {link for link in found.links if not link.startswith(("#", "data:image/"))} == {
        "https://arxiv.org/abs/2603.24638"
    }
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    for rule in re.findall(r"url\(([^)]*)\)", text):
        assert rule.startswith(("#", '"#', "data:")), rule
    assert "@import" not in text and "default-src 'none'" in text


def test_names_on_the_page_are_escaped_and_not_evaluated() -> None:
    text = page(hostile)
    assert text.count("<script>") == 1 and "49" not in re.findall(r"\[bold\]/../'?`?([^<]{0,8})", text)
    assert "&lt;script&gt;alert" in text
    words = "".join(Page(text).words)
    assert "<script>alert('x')</script> & \"q\" [bold]/../`{{ 7*7 }}" in words


def test_the_page_holds_findings_before_tables_and_every_number_of_the_table() -> None:
    text = page(realistic)
    assert text.index("<h2>Findings") < text.index("<h2>Outputs") < text.index("<svg")
    words = " ".join("".join(Page(text).words).split())
    for part in (
        "3.00e-04",
        "system_11",
        "breaks by 2.10%",
        "exact",
        "TF32 is allowed",
        "avx512",
        "MessagePassingTransformer",
        "Aliasing",
        "Noise floor",
        "arXiv:2603.24638",
        "30 more systems are on the page itself",
        "134 400",
    ):
        assert part in words, part
    assert text.count("<figure>") == 4 and "var(--ink)" in text
    assert "#1f2329" not in text.split("</style>", 1)[1]


@pytest.mark.usefixtures("blank_pictures")
def test_the_page_shows_the_worst_systems_first_and_bounds_their_number() -> None:
    audit = realistic(2100, 1)
    audit.outputs = {"dipole": audit.outputs["dipole"]}
    text = audit.to_html()
    assert "1 990 more systems" in text and "100 more are in audit.json" in text
    table = text[text.index("<h2>Systems") :].split("</table>", 1)[0]
    worst = sorted(audit.systems, key=lambda row: -row.outputs["dipole"]["rmse"])
    rows = re.findall(r'<tr( class="rest")?><th scope="row"><span class="n">(.*?)</span>', table)
    assert len(rows) == 2000 and [name for _, name in rows[:20]] == [row.name for row in worst[:20]]
    assert [bool(rest) for rest, _ in rows] == [False] * 10 + [True] * 1990  # of which none is printed


def test_the_page_is_the_same_each_time() -> None:
    assert page(hostile) == hostile().to_html()


# ---- frames


def test_pandas_holds_every_sector() -> None:
    audit = realistic()
    frame = audit.to_pandas()
    assert len(frame) == 11 * 9 * 2
    row = frame[(frame.name == "dipole") & (frame.l == 1) & (frame.sigma == 1)].iloc[0]
    assert row.kind == "output" and row.irrep == "1o"
    assert row.power == float(audit.outputs["dipole"].power[1, 0])
    assert list(frame.name.unique()) == [*audit.layers, *audit.outputs]
    for _, group in frame.groupby("name"):
        assert group.share.sum() == pytest.approx(1, abs=0.02)


def test_systems_become_a_frame() -> None:
    frame = realistic(5, 2).to_pandas("systems")
    assert len(frame) == 5 * (3 + 2)
    assert frame[frame.kind == "output"].rmse.notna().all() and frame[frame.kind == "layer"].share_l0.notna().all()


def test_xarray_holds_spectra_of_different_lmax() -> None:
    audit = with_samples()
    audit.layers["wide"] = spectrum("wide", shares(5, 0.5, 0.1))
    data = audit.to_xarray()
    assert dict(data.sizes) == {"layer": 5, "l": 6, "sigma": 2}
    expected = audit.outputs["dipole"].power.mean(dim=(2, 3))
    np.testing.assert_array_equal(data.power.sel(layer="dipole").values[:4], expected.numpy())
    assert np.isnan(data.power.sel(layer="dipole").values[4:]).all()
    assert (
        np.isnan(data.rmse.sel(layer="first")) and float(data.rmse.sel(layer="dipole")) == audit.outputs["dipole"].rmse
    )


@pytest.mark.parametrize("name", ["pandas", "xarray"])
def test_a_missing_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"{name}: .*pip install {name}\)"):
        getattr(realistic(), f"to_{name}")()
