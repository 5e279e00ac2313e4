"""Options that count: a number that cannot be meant ends before anything is read."""

from __future__ import annotations

import pytest

from cloud.__main__ import main


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            ["pipelines", "history", "nightly", "--most=-5"],
            "expected a whole number from 1 to 1000000; did you mean 1?",
        ),
        (["drift", "baseline", "--days", "0"], "found '0', expected a whole number from 1 to 3650; did you mean 1?"),
        (["drift", "baseline", "--days", "9" * 30], "expected a whole number from 1 to 3650; did you mean 3650?"),
        (["drift", "baseline", "--days", "a week"], "found 'a week', expected a whole number from 1 to 3650"),
    ],
)
def test_a_count_that_cannot_be_meant_is_refused(
    words: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert advice in capsys.readouterr().err
