"""YAML of foreign exports, read with bounds: a small file must not cost minutes, memory or the process."""

from __future__ import annotations

from typing import Any

_MOST_CHARACTERS = 1 << 20
_MOST_NODES = 200_000
# Lists of names: `no`, `on` and `007` are words in them, not truth values and numbers.
_LISTS_OF_NAMES = ("label_list", "labels", "names", "class_names")
_TEXT = "tag:yaml.org,2002:str"


def load_yaml(text: str) -> Any:
    """The document of a YAML text. Raises ValueError with a sentence's end.

    Aliases are counted as what they stand for, since nine of nine of nine ... references are a few lines of text and
    a billion values once somebody goes through them. libyaml's parser is not used: deep nesting ends the process.
    """
    import yaml  # lazily: few exports need it

    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"has {len(text):,} characters, at most {_MOST_CHARACTERS:,} are read")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _MOST_NODES:
            raise ValueError(f"stands for more than {_MOST_NODES:,} values, as its aliases are written out")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(f"is not valid YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise ValueError("is not valid YAML (it is nested too deeply)") from error
    finally:
        loader.dispose()


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for; lists of names are made lists of text on the way."""
    if isinstance(node.value, str):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("has a value that holds itself")
        return known[id(node)]
    known[id(node)] = 0
    total = 1
    for item in node.value:
        key, value = item if isinstance(item, tuple) else (None, item)
        if key is not None:
            total += _size(key, known)
            if key.value in _LISTS_OF_NAMES and isinstance(value.value, list):
                _as_text(value)
        total += _size(value, known)
    known[id(node)] = total
    return total


def _as_text(names: Any) -> None:
    for name in names.value:
        if not isinstance(name, tuple) and isinstance(name.value, str):
            name.tag = _TEXT
