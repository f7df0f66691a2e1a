"""What a history writes down: points, failures and the settings of their audits, as JSON and back, bit for bit."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from safetensors.torch import load, save

from ..report import Audit
from ..result.encode import decode_audit, encode_audit

Record = dict[str, Any]


def encode_point_audit(audit: Audit) -> Record:
    """An audit without what is of no use over training: spectra of layers by system, scenes, grids tried, the
    environment."""
    rows = [dataclasses.replace(row, layers={}) for row in audit.systems]
    outputs = {name: dataclasses.replace(output, scene=None) for name, output in audit.outputs.items()}
    kept = dataclasses.replace(audit, outputs=outputs, systems=rows, convergence=[], environment={})
    body, tensors = encode_audit(kept)
    return {"audit": body, "tensors": base64.b64encode(save(tensors)).decode("ascii")}


def decode_point_audit(record: Record) -> Audit:
    """The inverse of `encode_point_audit`, equal in every bit."""
    return decode_audit(Audit, record["audit"], load(base64.b64decode(record["tensors"], validate=True)))
