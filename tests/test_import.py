"""What `import equiscope` costs on top of torch."""

import subprocess
import sys

import pytest
import torchmetrics

import equiscope as eq


def python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_leaves_heavy_packages_for_their_first_use():
    heavy = "torchmetrics scipy matplotlib sympy rich typer jinja2 safetensors pandas xarray metatomic e3nn ase"
    heavy = [*heavy.split(), "lightning"]
    loaded = python(f"import torch, sys; known = set(sys.modules); import equiscope; print(*set({heavy}) & "
                    "(set(sys.modules) - known))")  # fmt: skip
    assert loaded.split() == []


def test_an_audit_and_an_average_import_no_torchmetrics_no_matplotlib_and_no_compiler():
    loaded = python(
        "import sys, torch, equiscope as eq\n"
        "x = torch.randn(2, 3, dtype=torch.float64)\n"
        "eq.audit(lambda x: x, [x], inputs='vector', outputs='vector', lmax=1, degree=4, progress=False)\n"
        "x.requires_grad_()\n"
        "eq.symmetrize(lambda x: x, inputs='vector', outputs='vector', degree=1)(x).sum().backward()\n"
        "print(*{'torchmetrics', 'matplotlib', 'torch._dynamo', 'ase', 'metatomic'} & set(sys.modules))"
    )
    assert loaded.split() == []


def test_the_metrics_are_torchmetrics():
    for name in ("EquivarianceError", "CharacterSpectrum"):
        assert issubclass(getattr(eq.metrics, name), torchmetrics.Metric)
        assert name in dir(eq.metrics)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        eq.metrics.Nothing  # noqa: B018


@pytest.mark.slow
def test_import_adds_at_most_0_3_seconds_to_torch():
    code = "import time, torch; start = time.perf_counter(); import equiscope; print(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(3)) < 0.3
