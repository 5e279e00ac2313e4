"""Values of another type than a key's, long ones, and lines that are no TOML: the message says what to write."""

from __future__ import annotations

import pytest

from inference.errors import BadManifest, BadRoute
from inference.manifest import manifest_from
from inference.routes_file import RefusedRoute, Routes, read_routes
from inference.tables import nearest

ROUTE = """
[[route]]
name = "r"
match = "people/**"
"""
STEPS = 'steps = [{ model = "faces" }]\n'


def refused(text: str) -> str:
    (entry,) = read_routes(text, "r").entries
    assert isinstance(entry, RefusedRoute)
    return entry.reason.removeprefix("r: route 'r': ")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("threshold = '40%'", "steps[0]: threshold: found '40%', expected a number; did you mean 0.4?"),
        ("threshold = '0.4'", "steps[0]: threshold: found '0.4', expected a number; write 0.4 without quotes"),
        ("threshold = '0,4'", "steps[0]: threshold: found '0,4', expected a number; write 0.4 without quotes"),
        ("tile = 640.0", "steps[0]: tile: found 640.0, expected a whole number; did you mean 640?"),
        ("tile = '640'", "steps[0]: tile: found '640', expected a whole number; write 640 without quotes"),
        ("tile = '64.5'", "steps[0]: tile: found '64.5', expected a whole number"),
        ("threshold = true", "steps[0]: threshold: found true, expected a number"),
    ],
)
def test_a_value_of_another_type_is_told_the_nearest(keys: str, words: str) -> None:
    assert refused(f"{ROUTE}steps = [{{ model = 'faces', {keys} }}]") == words


@pytest.mark.parametrize(
    ("word", "known", "words"),
    [
        ("f\u0430ce", "face", "; did you mean 'face', without '\\u0430'?"),
        ("face\u200b", "face", "; did you mean 'face', without '\\u200b'?"),
        ("cafe\u0301", "caf\u00e9", "; did you mean 'caf\u00e9', without '\\u0301'?"),
        ("Grösse", "größe", "; did you mean 'größe'?"),
    ],
)
def test_characters_that_look_alike_are_named(word: str, known: str, words: str) -> None:
    assert nearest(word, [known]) == words


def test_a_misspelt_word_of_two_lists_is_told_the_nearest_of_both() -> None:
    with pytest.raises(BadManifest, match=r"layout: found 'NHCW'; did you mean 'nchw'\? \(known: nchw, nhwc"):
        manifest_from({"name": "m", "task": "depth-estimation", "head": "x", "preprocess": {"layout": "NHCW"}}, "m")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            "iou = 0.5",
            "; that is the model's: write it into [postprocess] of its model.toml (iou_threshold, max_detections)",
        ),
        ("conf = 0.5", "; did you mean 'threshold'?"),
        ("classes = [0]", "; did you mean 'labels'?"),
    ],
)
def test_keys_of_models_and_of_other_tools_are_told_what_they_are_here(keys: str, words: str) -> None:
    key = keys.partition(" ")[0]
    assert refused(f"{ROUTE}steps = [{{ model = 'faces', {keys} }}]") == f"steps[0]: unknown key '{key}'{words}"


def test_a_key_of_another_table_is_no_misspelt_one() -> None:
    words = refused(f"{ROUTE}steps = [{{ model = 'faces', stride = 2 }}]")
    assert words.startswith("steps[0]: unknown key 'stride'; known are labels, max_size, ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blur = ['face']\n" + STEPS, "unknown key 'blur'; it belongs into draw"),
        ("stride = 2\n" + STEPS, "unknown key 'stride'; it belongs into video"),
        ("model = 'faces'", "unknown key 'model'; it belongs into steps"),
        ("steps = 'faces'", 'keys and values; did you mean { model = "faces" }?'),
        (STEPS + "[[route.draw]]\nblur = 'face'", "there is only one, whose name stands in single brackets"),
        (STEPS + "[route.draw]\nboxes = 'no'", "expected true or false; write false without quotes"),
        (STEPS + "[route.draw]\nboxes = 1", "expected true or false; did you mean true?"),
        (STEPS + "[route.draw]\nquality = '80'", "expected a number; write 80 without quotes"),
        (STEPS + "[route.draw]\nquality = '80%'", "quality: found '80%', expected a number"),
        (STEPS + "[route.video]\ntracker = 'botsort'", "did you mean 'sort'? (known: bytetrack, sort, none)"),
        (STEPS + "regions = [[0, 0], [1, 0], [1, 1]]", "write regions = [[[0, 0], [1, 0], [1, 1]]]"),
    ],
)
def test_a_key_or_table_at_another_place_is_told_its_own(text: str, words: str) -> None:
    assert refused(ROUTE + text).endswith(words)


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        (
            "draw",
            "quality",
            "quality is a number of 401 digits, expected a whole number from 1 to 95; did you mean 95?",
        ),
        ("draw", "boxes", "boxes: found a number of 401 digits, expected true or false"),
        ("video", "stride", "stride is a number of 401 digits, expected at most 1e+15; 1 is for every frame"),
        (
            "video",
            "max_pixels",
            "max_pixels is a number of 401 digits, expected at most 1e+15; leave it out for the usual",
        ),
    ],
)
def test_a_huge_number_is_refused_and_not_repeated(table: str, key: str, words: str) -> None:
    assert refused(f"{ROUTE}{STEPS}[route.{table}]\n{key} = 1{'0' * 400}").startswith(f"{table}: {words}")


@pytest.mark.parametrize(
    ("table", "key", "advice"),
    [
        ("video", "stride", "expected at least 1; 1 is for every frame"),
        ("video", "annotated_side", "expected at least 16; annotated = false is for no annotated video"),
        ("video", "max_frames", "expected more than 0; leave it out for the usual limit"),
        ("video", "metres_per_pixel", "expected more than 0; leave it out for no speeds"),
        ("video", "end_s", "expected more than start_s, 0; leave it out for the end of the clip"),
    ],
)
def test_a_nought_that_other_tools_take_is_told_what_to_write(table: str, key: str, advice: str) -> None:
    assert refused(f"{ROUTE}{STEPS}[route.{table}]\n{key} = 0") == f"{table}: {key} is 0, {advice}"


def test_several_patterns_in_one_route_hold_all_of_them() -> None:
    words = refused(ROUTE.replace('"people/**"', '["people/**", "cars/"]') + STEPS)
    assert words.endswith("expected text; a match is one pattern: give each a route of its own")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[draw]\nblur = ['face']", "'draw' stands outside of every route; write [route.draw] below its [[route]]"),
        (
            "[[steps]]\nmodel = 'faces'",
            "'steps' stands outside of every route; write [[route.steps]] below its [[route]]",
        ),
        ("name = 'r'", "'name' stands outside of every route; write a line [[route]] before it"),
    ],
)
def test_a_table_outside_of_every_route_is_told_its_place(text: str, words: str) -> None:
    with pytest.raises(BadRoute) as error:
        read_routes(text, "r")
    assert str(error.value) == f"r: {words}"


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("match = “people/**”", 'quotes are straight here: "'),
        ("match = people", "text stands in quotes"),
        ('match = "people\\**"', "write / between folders, or the text in single quotes"),
        ('match = "C:\\users\\**"', "write / between folders, or the text in single quotes"),
        ("boxes = True", "true and false have small letters"),
        ("when = None", "leave the key out"),
        ("threshold = 40%", "percent are shares here: 0.4 for 40 %"),
        ("threshold = .4", "a number begins with a digit: 0.5"),
        ("threshold = 0,4", "numbers have a point: 0.5"),
        ("name: r", "keys and values have = between them"),
        ("steps = [{ model = 'faces',", "a table in braces stands on one line"),
    ],
)
def test_a_line_that_is_no_toml_is_shown_with_what_to_write(line: str, advice: str) -> None:
    with pytest.raises(BadRoute) as error:
        read_routes(f"[[route]]\n{line}\nthreshold = 1 }}]", "r")
    assert str(error.value).endswith(f"{line!r}; {advice}")


def test_a_sidecar_that_is_json_or_has_no_end_is_refused_in_a_sentence() -> None:
    routes = read_routes(ROUTE + STEPS, "r")
    with pytest.raises(BadRoute, match="TOML has lines of key = value, and no braces around them; correct it"):
        routes.of_sidecar('{"route": "r"}', "a.jpg")
    for text in (
        "[" * 60_000,
        "a=" * 30_000,
        "x = " + "1" * 60_000,
        f"route = '{'y' * 60_000}'",
        f"{'k' * 60_000} = 1",
    ):
        with pytest.raises(BadRoute) as error:
            routes.of_sidecar(text, "a.jpg")
        assert len(str(error.value)) < 1000


def test_a_sidecar_that_says_more_than_a_name_is_refused() -> None:
    routes: Routes = read_routes(ROUTE + STEPS, "r")
    assert routes.of_sidecar("route = 'r'", "a.jpg").name == "r"
    with pytest.raises(BadRoute, match="'blur' says nothing beside the name of a route; leave it out"):
        routes.of_sidecar("route = 'r'\nblur = ['face']", "a.jpg")
