"""A sentence of a report, and what it is to its reader."""

from __future__ import annotations

from enum import Enum


class Severity(str, Enum):
    """What a sentence is to its reader; equals its value, a word."""

    WARNING = "warning"
    """Of the numbers: they are missing, or say less than they seem to."""
    FINDING = "finding"
    """Of the model: what the numbers show."""
    NOTE = "note"
    """Of the audit: what it did, or what more could be asked. Nothing is wrong."""

    def __str__(self) -> str:
        return self.value


class Finding(str):
    """A sentence that knows its `severity`; in all else a str."""

    severity: Severity

    def __new__(cls, text: str, severity: Severity = Severity.FINDING) -> Finding:
        found = super().__new__(cls, text)
        found.severity = severity
        return found


def warned(sentences: list[str]) -> list[Finding]:
    """`sentences` as warnings."""
    return [Finding(text, Severity.WARNING) for text in sentences]
