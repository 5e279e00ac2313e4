"""Whether a result hides what its upload shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_hidden(document: Mapping[str, Any]) -> bool:
    """Whether something is unrecognisable in the files of a result: who may see only these is not shown the upload.

    By the member `blurred` of the document, which results of 0.2.0 and earlier lack, whatever they hide.
    """
    return bool(document.get("blurred"))
