"""SevenNet-0 of 11 July 2024, as a calculator."""

from gallery.standard import audited
from sevenn.calculator import SevenNetCalculator

TITLE, PACKAGES, PUBLISHED = "SevenNet-0 (11 July 2024)", ("sevenn",), True
outputs = {"molecules": ("energy", "forces"), "crystals": ("energy", "forces", "stress")}
audits, by_hand = audited(SevenNetCalculator("7net-0", device="cpu"), outputs)
pictures = {
    "worst": audits["molecules"].plot("worst", ["forces"]),
    "spectra": audits["molecules"].plot("spectra", ["energy", "forces"]),
}
