"""Several audits beside each other: which model, checkpoint, degree or dtype is better, and is the difference real."""

from __future__ import annotations

from collections.abc import Mapping

from .report import Audit
from .report.comparison import Comparison
from .result.comparison import contrast


def compare(audits: Mapping[str, Audit]) -> Comparison:
    """What `audits` share, compared with the first of them; what cannot be compared is said in ``notes``.

    Args:
        audits: two or more, by name, from `equiscope.audit` or `Audit.load`. Where each name holds one number
            (``"step 1000"``), errors are drawn over it.

    Returns:
        `Comparison`: ``differences[output][name]`` is the RMSE of that audit minus that of the first, over the systems
        that both have (paired by name and size), with

        - ``error``, the half width in which the true difference lies in 95 of 100 cases: the stated errors of both,
          taken as independent;
        - ``p``, of Wilcoxon's test of signed ranks over systems (6 systems or more): whether the systems agree on the
          sign beyond chance;
        - ``standing``: "both within noise"; "no difference seen", within the errors of measurement; "differs on these
          systems", beyond them; "differs", beyond them with ``p < 0.05``.

        ``print`` it, ``save`` it (one page), ``plot`` it, ``to_markdown()`` it.

    Outputs of other representation or unit, systems and layers that only some have, and audits on different groups are
    not compared, and named. Raises `ArgumentError` where no two audits share an output or a layer.
    """
    found = contrast(audits)
    return Comparison(found.audits, found.differences, found.layers, found.notes)
