"""Chemical elements as pictures and files need them: symbols, covalent radii, colours."""

from __future__ import annotations

SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt "
    "Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc "
    "Lv Ts Og"
).split()
"""By atomic number; X, of number 0, is a point of no element."""

RADII = (
    0.20, 0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58, 1.66, 1.41, 1.21, 1.11, 1.07, 1.05, 1.02, 1.06,
    2.03, 1.76, 1.70, 1.60, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22, 1.20, 1.19, 1.20, 1.20, 1.16,
    2.20, 1.95, 1.90, 1.75, 1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45, 1.44, 1.42, 1.39, 1.39, 1.38, 1.39, 1.40,
    2.44, 2.15, 2.07, 2.04, 2.03, 2.01, 1.99, 1.98, 1.98, 1.96, 1.94, 1.92, 1.92, 1.89, 1.90, 1.87, 1.87,
    1.75, 1.70, 1.62, 1.51, 1.44, 1.41, 1.36, 1.36, 1.32, 1.45, 1.46, 1.48, 1.40, 1.50, 1.50,
    2.60, 2.21, 2.15, 2.06, 2.00, 1.96, 1.90, 1.87, 1.80, 1.69,
)  # fmt: skip
"""Covalent radii in angstrom (Cordero et al., Dalton Trans. 2008, 2832, doi:10.1039/b801115j), to curium."""

UNKNOWN = 1.6
"""Radius of what is heavier."""

COLOURS = {
    1: "#e3e6ea",
    5: "#f0b7a4",
    6: "#6f757d",
    7: "#4f7bd0",
    8: "#d3554c",
    9: "#79b85c",
    14: "#c9b28a",
    15: "#e08a3c",
    16: "#e2c53b",
    17: "#4fa859",
    35: "#9a4a3a",
    53: "#7d4a9c",
}
"""Customary colours, softened; all other elements have one."""

OTHER = "#8fa9b8"


def radius(number: int) -> float:
    """Covalent radius in angstrom."""
    return RADII[number] if number < len(RADII) else UNKNOWN


def symbol(number: int) -> str:
    """``C`` of 6; X of what is none."""
    return SYMBOLS[number] if 0 <= number < len(SYMBOLS) else SYMBOLS[0]
