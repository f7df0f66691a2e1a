"""A trained PET through the whole audit, against metatomic's own SymmetrizedModel."""

from pathlib import Path

import pet_reference
import pytest
import torch

import equiscope as eq

DATA = Path(__file__).parent / "data"
FEATURES = ["feature", "mtt::aux::energy_last_layer_features"]
OUTPUTS = ["energy", "non_conservative_force", "non_conservative_stress"]


@pytest.fixture(scope="module")
def report():
    return eq.audit(
        DATA / "pet_model_f64.pt",
        DATA / "pet_structures.npz",
        outputs=OUTPUTS,
        layers=FEATURES,
        lmax=4,
        degree=8,
        shift=None,
        keep="samples",
    )


@pytest.mark.parametrize("structure", pet_reference.NAMES)
def test_mean_variance_and_characters_equal_metatomic(report, structure):
    for name in pet_reference.outputs(structure):
        found = pet_reference.differences(report.result(name), structure, name)
        assert max(found.values()) < 1e-10, (name, found)


def test_pooled_numbers_are_means_of_the_kept_samples(report):
    pooled = eq.audit(
        DATA / "pet_model_f64.pt",
        DATA / "pet_structures.npz",
        outputs=OUTPUTS,
        layers=FEATURES,
        lmax=4,
        degree=8,
        shift=None,
        batch_rows=300,
    )
    for name in (*OUTPUTS, *FEATURES):
        kept, mean = report.result(name), pooled.result(name)
        torch.testing.assert_close(mean.power, kept.pooled_power, rtol=1e-9, atol=1e-12 * kept.pooled_total)
        assert float(mean.total) == pytest.approx(kept.pooled_total, rel=1e-9)
    for name in OUTPUTS:
        assert pooled.outputs[name].rmse == pytest.approx(float(report.outputs[name].variance.mean()) ** 0.5)


def test_modules_of_a_compiled_model_cannot_be_hooked():
    with pytest.raises(eq.errors.ArgumentError, match=r"TorchScript.*outputs that can be audited as layers: feature"):
        eq.audit(DATA / "pet_model_f64.pt", DATA / "pet_structures.npz", layers="gnn_layers.*")


def test_unknown_output_is_refused_with_the_names_there_are():
    with pytest.raises(eq.errors.ArgumentError, match=r"outputs: .*energy.*'dipole'"):
        eq.audit(DATA / "pet_model_f64.pt", DATA / "pet_structures.npz", outputs=["dipole"])


def test_truncated_model_and_data_files_are_refused(tmp_path):
    broken = tmp_path / "model.pt"
    broken.write_bytes((DATA / "pet_model_f64.pt").read_bytes()[:5000])
    with pytest.raises(eq.errors.DataError, match=r"model\.pt"):
        eq.audit(broken, DATA / "pet_structures.npz")
    broken = tmp_path / "data.npz"
    broken.write_bytes((DATA / "pet_structures.npz").read_bytes()[:2000])
    with pytest.raises(eq.errors.DataError, match=r"data\.npz"):
        eq.audit(DATA / "pet_model_f64.pt", broken)


def test_float32_model_agrees_to_its_precision():
    single = eq.audit(
        DATA / "pet_model_f32.pt",
        DATA / "pet_structures.npz",
        outputs=OUTPUTS,
        layers=FEATURES,
        lmax=4,
        degree=8,
        shift=None,
        keep="samples",
    )
    for structure in pet_reference.NAMES:
        for name in pet_reference.outputs(structure):
            found = pet_reference.differences(single.result(name), structure, name)
            assert max(found.values()) < 1e-4, (name, found)
