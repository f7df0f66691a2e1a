"""CHGNet 0.3.0, as a calculator; molecules lie in the middle of a periodic cube, as it knows crystals alone."""

from chgnet.model.dynamics import CHGNetCalculator
from gallery.standard import audited

TITLE, PACKAGES, PUBLISHED = "CHGNet 0.3.0", ("chgnet",), True
outputs = {"molecules": ("energy", "forces"), "crystals": ("energy", "forces", "stress", "magmoms")}
audits, by_hand = audited(CHGNetCalculator(use_device="cpu"), outputs, box=12.0)
pictures = {
    "worst": audits["crystals"].plot("worst", ["stress"]),
    "spectra": audits["crystals"].plot("spectra", ["stress"]),
}
