"""Settings files with what Core Tools allows beyond JSON: comments, trailing commas, byte order marks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localhost.errors import SettingsError
from localhost.host_settings import load_host_json, load_local_settings
from localhost.settings_file import plain, read, read_local_settings

COMMENTED = """\ufeff// settings of this machine
{
  "IsEncrypted": false, /* true after `func settings encrypt` */
  "Values": {
    "AzureWebJobsStorage": "BlobEndpoint=http://127.0.0.1:10000/a;AccountKey=/*no*/,}==;", // "the" emulator, {1}
    "PATTERN": "say \\"//\\" , ] \\\\",
    /* "OFF": "1", // not now
    */
    "COUNT": 8,
    "RATIO": 1.50,
    "BIG": 12345678901234567890,
    "ON": true,
    "OFF": false,
    "NOTHING": null, // the last
  },
  "Host": {"LocalHttpPort": 7099,},
}
// the end"""


def test_comments_and_trailing_commas_are_passed_over_and_strings_are_untouched(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    for encoding in ("utf-8", "utf-16"):  # Windows PowerShell writes the second
        path.write_bytes(COMMENTED.removeprefix("\ufeff" if encoding == "utf-16" else "").encode(encoding))
        environ: dict[str, str] = {}
        assert load_local_settings(tmp_path, environ) == 7099
        assert {name: environ.get(name) for name in read_local_settings(path)["Values"]} == {
            "AzureWebJobsStorage": "BlobEndpoint=http://127.0.0.1:10000/a;AccountKey=/*no*/,}==;",
            "PATTERN": 'say "//" , ] \\',
            "COUNT": "8",
            "RATIO": "1.50",
            "BIG": "12345678901234567890",
            "ON": "true",
            "OFF": "false",
        }
        assert "NOTHING" not in environ


def test_host_json_too(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text(
        '{"version": "2.0", // the schema\n"extensions": {"queues": {"batchSize": 3,},},}', "utf-8-sig"
    )
    assert load_host_json(tmp_path, {}).queues.batch_size == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  // one\n  "a": 1,, \n}', "line 3 column 10"),
        ('{\n  /* one\n  two */ "a" 1\n}', "line 3 column 14"),
        ('{\n  "a": 1, /* no end\n}', "Comment without an end: line 2 column 11"),
        ('{\n  "a": "http://x\n}', "line 2 column 17"),
        ('{"a": "//}', "Unterminated string starting at: line 1 column 7"),
        ('{"a": [,]}', "line 1 column 8"),
        ("{,}", "line 1 column 2"),
        ('{"a":,}', "line 1 column 6"),
        ('{"a": 1},', "line 1 column 9"),
        ('{"a": 1 / 2}', "line 1 column 9"),
        ("", "line 1 column 1"),
        ("// nothing", "line 1 column 11"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_wrong_is_named_by_its_place_in_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "host.json").write_text(text)
    with pytest.raises(SettingsError, match=f"host.json: .*{message}"):
        read(tmp_path / "host.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"A": {"b": 1}}', "value of 'A' is a JSON object; app settings are text"),
        ('{"A": ["x"]}', "app settings are text"),
        ('{"A=B": "x"}', "'A=...' cannot be an environment variable"),
        ('{"": "x"}', "'' cannot be an environment variable"),
        ('{"A": "x\\u0000y"}', "'A' cannot be an environment variable"),
        ('{"A": "\\ud800"}', "'A' cannot be an environment variable"),
    ],
)
def test_what_cannot_be_an_app_setting_is_named(tmp_path: Path, value: str, message: str) -> None:
    (tmp_path / "local.settings.json").write_text(f'{{"Values": {value}}}')
    with pytest.raises(SettingsError, match=message):
        read_local_settings(tmp_path / "local.settings.json")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    path.write_bytes(b'{"Values": {"A": "caf\xe9"}}')
    with pytest.raises(SettingsError, match="is not UTF-8 text.*position 21.*Save it as UTF-8"):
        read(path)
    with pytest.raises(SettingsError, match="cannot be read .Is a directory"):
        read(tmp_path)


TEXTS = st.text(st.sampled_from('ab"\\/*, {}[]:\n\u00e9')) | st.sampled_from(["http://a//b", "/* no */", "// no", ",}"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NOISE = st.sampled_from(["", " ", "\n", "\t", '// "x, ]\n', '/* , } " */', "/**/", "/*\n//*/", "//\r\n"])


def written(value: Any, noise: Callable[[], str]) -> str:
    """JSON with noise between all tokens, and with trailing commas where it happens so."""

    def ends(items: list[str], opening: str, closing: str) -> str:
        comma = "," if items and noise() in ("", "\n") else ""
        return noise() + opening + ",".join(items) + comma + noise() + closing + noise()

    if isinstance(value, list):
        return ends([written(item, noise) for item in value], "[", "]")
    if isinstance(value, dict):
        return ends([f"{written(name, noise)}:{written(item, noise)}" for name, item in value.items()], "{", "}")
    return noise() + json.dumps(value, ensure_ascii=False) + noise()


@pytest.mark.slow
@given(st.data(), VALUES)
def test_any_document_means_the_same_with_comments_and_trailing_commas(data: st.DataObject, value: Any) -> None:
    text = written(value, lambda: data.draw(NOISE))
    blanked = plain(text)
    assert json.loads(blanked) == value
    assert len(blanked) == len(text) and all(a in (b, " ") for a, b in zip(blanked, text, strict=True))
    assert blanked.count("\n") == text.count("\n")


@pytest.mark.slow
@given(VALUES, st.booleans())
def test_plain_json_stays_as_it_is(value: Any, indented: bool) -> None:
    text = json.dumps(value, indent=2 if indented else None)
    assert plain(text) == text
