"""What is counted of the CUDA kernels without a card: the simulation of warps on patterns that can be counted by hand,
the reading of machine code, and the wavefronts that are stored."""

import json
import math
import shutil
from pathlib import Path

import pytest

BENCHES = Path(__file__).parent.parent / "benches"


@pytest.fixture(scope="module")
def counting():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHES))
        import count_cuda
    return count_cuda


@pytest.fixture(scope="module")
def program(counting, tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("this machine has no g++")
    return counting.simulator(tmp_path_factory.mktemp("simulator"))


@pytest.fixture(scope="module")
def strided(counting, program):
    """Loads, stores, the least of both, and steps of 64 threads, each `stride` bytes from the one before."""

    def count(size, stride, turns):
        return tuple(map(int, counting.run(program, "strided", size, stride, turns).splitlines()[1].split()))

    return count


@pytest.mark.parametrize(
    ("words", "stride"),
    [*((1, stride) for stride in (1, 2, 3, 4, 16, 31, 32, 33, 64)), *((2, stride) for stride in (2, 4, 6, 16, 34, 64))],
)
def test_a_stride_takes_as_many_wavefronts_as_words_that_meet_in_a_bank(strided, words, stride):
    # 64 threads read twice: half of them 6 times, the others 3 times, then the other way round; each time they write.
    # A warp waits for all: 3 reads of all lanes and 3 of every other, 12 in all, which would be 9 if it did not.
    def meeting(lanes):
        banks = [set() for _ in range(32)]
        for lane in lanes:
            for word in range(words):
                banks[(lane * stride + word) % 32].add(lane * stride + word)
        return max(len(bank) for bank in banks)

    whole, even, odd = meeting(range(32)), meeting(range(0, 32, 2)), meeting(range(1, 32, 2))
    if words == 1:
        assert whole == math.gcd(stride, 32)
    loads, stores, *_ = strided(4 * words, 4 * stride, 6)
    assert stores == 2 * 2 * whole
    assert loads == 2 * (2 * 3 * whole + 3 * even + 3 * odd)


def test_one_word_for_all_lanes_is_one_wavefront(strided):
    assert strided(4, 0, 2)[:3] == (8, 4, 12)


def test_a_warp_takes_as_many_steps_as_its_slowest_lanes(strided):
    few, more, most = (strided(4, 4, turns)[3] for turns in (6, 12, 18))
    # a whole number of blocks for each of twice six turns
    assert more - few == most - more > 0 and (more - few) % 12 == 0


def test_stored_wavefronts_are_not_exceeded(counting, program):
    stored = json.loads(counting.STORED.read_text())["now"]
    assert set(counting.CASES) == set(stored["wavefronts"])
    counts = {"wavefronts": {case: counting.wavefronts(program, case) for case in counting.CASES}}
    assert not counting.grown(counts, stored)
    assert all(0 < own["least"] <= own["counted"] for own in counts["wavefronts"].values())
    more = {
        "wavefronts": {case: {"counted": 2 * own["counted"], "steps": 1} for case, own in counts["wavefronts"].items()}
    }
    assert len(counting.grown(more, stored)) == len(counting.CASES)


def test_D_stays_within_what_was_aimed_at(counting):
    stored = json.loads(counting.STORED.read_text())["now"]
    assert stored["wavefronts"]["wigner_D 8"]["counted"] <= 180
    loops = stored["instructions per 8 values"]
    assert loops["Evaluate<WignerFamily, float, true>"]["loop 1"] <= 110
    assert loops["Evaluate<WignerFamily, double, true>"]["loop 1"] <= 110


def test_the_page_has_the_counts_that_are_stored(counting):
    stored = json.loads(counting.STORED.read_text())["now"]
    page = (BENCHES.parent / "docs" / "kernels.md").read_text()
    loop = stored["instructions per 8 values"]["Evaluate<WignerFamily, float, true>"]["loop 1"]
    assert f"takes {loop:g} instructions of sm_90 per 8 values in float32" in page
    assert f"{stored['wavefronts']['wigner_D 8']['counted']:g} wavefronts in shared memory per rotation" in page


LISTING = """
.text._ZN9equiscope4cuda13run_on_deviceINS0_8EvaluateINS0_12WignerFamilyEfEEEEvT_:
        /*0000*/                   S2R R3, SR_TID.X ;
.L_x_1:
        /*0010*/                   LDG.E.64 R4, desc[UR8][R2.64] ;
        /*0020*/                   DFMA R6, R4, R4, R6 ;
        /*0030*/              @P0 BRA `(.L_x_2) ;
        /*0040*/                   STG.E desc[UR8][R2.64], R6 ;
        /*0050*/                   BRA `(.L_x_3) ;
.L_x_2:
        /*0060*/              @P1 STS [R8], R6 ;
        /*0070*/                   STS [R8+0x4], R6 ;
.L_x_3:
        /*0080*/              @!P2 BRA `(.L_x_1) ;
        /*0090*/                   EXIT ;
.L_x_4:
        /*00a0*/                   BRA `(.L_x_4);
"""


def test_instructions_are_those_of_the_way_that_writes_to_shared_memory(counting):
    ((name, listing),) = counting.functions(LISTING).items()
    assert name == "Evaluate<WignerFamily, float>"
    assert counting.loops(counting.instructions(listing)) == [(2, 6)]


def test_kernels_are_named_as_in_the_source(counting):
    start = "_ZN9equiscope4cuda13run_on_deviceINS0_"
    for symbol, name in {
        "7ProjectI6__halffLi9ELb1EEEEEvT_": "Project<half, float, 9, true>",
        "7ProjectI13__nv_bfloat16fLi1ELb0EEEEEvT_": "Project<bfloat16, float, 1, false>",
        "7ProjectIfdLi3ELb1EEEEEvT_": "Project<float, double, 3, true>",
        "6RotateIdEEEEvT_": "Rotate<double>",
        "6TorqueINS0_14HarmonicFamilyEdEEEEvT_": "Torque<HarmonicFamily, double>",
        "8EvaluateINS0_12WignerFamilyEfLb1EEEEEvT_": "Evaluate<WignerFamily, float, true>",
    }.items():
        assert counting.name_of(start + symbol) == name
