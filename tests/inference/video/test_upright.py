"""Pictures as the file means them: transfer, primaries and matrix of colours, transparency, shape of the pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.analysis import analyze
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import LimitExceeded, UnsupportedMedia
from inference.routes import Route, Step
from inference.video.aggregate import whole_report
from inference.video.frames import Anchor, Between, Damage, ReadReport, Sampling, VideoLimits, View
from inference.video.read import VideoReader, probe
from inference.video.upright import UprightPictures, square

SIZE = (64, 48)
HLG, PQ, BT2020, P3 = 18, 16, 9, 12


def plain(values: Sequence[int], form: str, size: tuple[int, int] = SIZE) -> VideoFrame:
    """A picture whose planes hold one value each, as they are stored."""
    frame = VideoFrame(*size, form)
    for plane, value in zip(frame.planes, values, strict=True):
        depth = np.uint16 if form.endswith("le") else np.uint8
        plane.update(np.full(plane.buffer_size // depth().itemsize, value, depth).tobytes())
    return frame


def packed(colour: Sequence[int], form: str) -> VideoFrame:
    return VideoFrame.from_ndarray(np.full((*SIZE[::-1], len(colour)), colour, np.uint8), format=form)


def write(
    path: Path, frames: Sequence[VideoFrame], codec: str = "ffv1", shape: Fraction | None = None, turn: int = 0,
    options: dict[str, str] | None = None, **tags: int,
) -> Path:  # fmt: skip
    """A clip of these pictures, 25 a second. tags: of their colours. shape: of their pixels. turn: to the left."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.codec_context.time_base = Fraction(1, 25)
        if shape:
            stream.codec_context.sample_aspect_ratio = shape
        if turn:
            stream.set_display_rotation(turn)
        for number, frame in enumerate(frames):
            for name, value in tags.items():
                setattr(frame, name, value)
                setattr(stream.codec_context, name, value)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def read(path: Path, **more: Any) -> tuple[list[NDArray[np.uint8]], ReadReport]:
    reader = VideoReader(path, **more)
    pixels = [frame.pixels for frame in reader]
    assert reader.report is not None
    return pixels, reader.report


def middle(path: Path) -> tuple[list[int], tuple[str, ...]]:
    pixels, report = read(path)
    height, width = pixels[0].shape[:2]
    return pixels[0][height // 2, width // 2].tolist(), tuple(report.notes)


@pytest.mark.slow
class TestColours:
    # The white of SDR is 203 cd/m2; what is shown of x times that is 255 * x ** (1 / 2.4) up to 0.8 of 255, and from
    # there on 0.8 + 0.2 * t / sqrt(1 + t * t) for t of 0.2 more.
    @pytest.mark.parametrize(
        ("transfer", "name", "shown"),
        [
            # 0, 50, 100, 203, 1,000 and 10,000 cd/m2: (50 / 203) ** (1 / 2.4) = 0.558, 0.745, 0.8 + 0.2 / sqrt(2).
            (PQ, "PQ", {64: 0, 450: 142, 509: 190, 573: 240, 723: 254, 940: 255}),
            # Half of the signal is 1000 * (1 / 12) ** 1.2 = 50.7 cd/m2, three quarters are 203, all of it 1,000.
            (HLG, "HLG", {64: 0, 502: 143, 721: 240, 940: 254}),
        ],
    )
    def test_greys_of_high_dynamic_range_are_as_light_as_on_a_screen(
        self, tmp_path: Path, transfer: int, name: str, shown: dict[int, int]
    ) -> None:
        frames = [plain((luma, 512, 512), "yuv420p10le") for luma in shown]
        tags: dict[str, Any] = {"colorspace": 9, "color_range": 1, "color_trc": transfer, "color_primaries": BT2020}
        pixels, report = read(write(tmp_path / "a.mkv", frames, **tags))
        for picture, expected in zip(pixels, shown.values(), strict=True):
            assert np.abs(picture.astype(int) - expected).max() <= 1
        assert report.notes == (f"{name}, BT.2020: mapped to SDR",)

    @pytest.mark.parametrize(
        ("form", "coded", "tags", "expected"),
        [
            # BT.709's 191, 73, 73 is linear 0.5, 0.05, 0.05: by the matrix of BT.2087, 67.5, 16.5, 13.5 cd/m2.
            ("gbrp10le", (348, 319, 480), {"color_trc": PQ, "color_primaries": BT2020}, (191, 73, 73)),
            # 98, 174, 174: linear 0.1, 0.4, 0.4.
            ("gbrp10le", (493, 497, 436), {"color_trc": PQ, "color_primaries": BT2020}, (98, 174, 174)),
            # P3's red is linear 1.2249, -0.0420, -0.0197 in BT.709; mixed with the grey of its luminance, 0.229, it is
            # 1, 0.019, 0.036.
            ("gbrp10le", (0, 0, 1023), {"color_trc": 1, "color_primaries": P3}, (255, 49, 64)),
            ("gbrp10le", (413, 403, 719), {"color_trc": 1, "color_primaries": P3}, (191, 98, 98)),
            ("gbrp10le", (600, 600, 600), {"color_trc": 14, "color_primaries": BT2020}, (150, 150, 150)),
            # Other primaries and transfers of SDR are left alone.
            ("gbrp10le", (413, 403, 719), {"color_trc": 4, "color_primaries": 5}, (179, 103, 100)),
        ],
    )
    def test_colours_of_wide_gamuts_are_those_of_a_screen(
        self, tmp_path: Path, form: str, coded: tuple[int, int, int], tags: dict[str, Any], expected: Sequence[int]
    ) -> None:
        pixel, notes = middle(write(tmp_path / "a.mkv", [plain(coded, form)], **tags))
        assert np.abs(np.array(pixel) - expected).max() <= 3
        assert bool(notes) == (tags["color_primaries"] != 5)

    def test_the_annotated_video_shows_the_same_colours_between_samples(self, tmp_path: Path) -> None:
        frames = [plain((573, 512, 512), "yuv420p10le") for _ in range(4)]
        clip = write(tmp_path / "a.mkv", frames, colorspace=9, color_trc=PQ, color_primaries=9, color_range=1)
        shown = list(VideoReader(clip, Sampling(stride=2), view=View(24, every=1)).shown())
        assert [type(item) is Between for item in shown] == [False, True, False, True]
        assert shown[1].pixels.shape == (24, 32, 3)
        assert np.abs(shown[1].pixels.astype(int) - 240).max() <= 1

    @pytest.mark.parametrize("full", [False, True])
    def test_ycgco_is_converted_by_its_own_formula(self, tmp_path: Path, full: bool) -> None:
        """R = Y - Cg + Co, G = Y + Cg, B = Y - Cg - Co; (200, 120, 40): Y = 120, Cg = 0, Co = 80."""
        coded = (120, 128, 208) if full else (16 + round(120 * 219 / 255), 128, 128 + round(80 * 224 / 255))
        picture = plain(coded, "yuv444p")
        pixel, _ = middle(write(tmp_path / "a.mkv", [picture], colorspace=8, color_range=1 + full))
        assert np.abs(np.array(pixel) - (200, 120, 40)).max() <= 2

    @pytest.mark.parametrize("matrix", [0, 8, 10, 11, 12, 13, 14, 15, 16, 17])
    def test_no_matrix_of_colours_loses_a_clip(self, tmp_path: Path, matrix: int) -> None:
        frames = [plain((180, 128, 128), "yuv420p") for _ in range(2)]
        clip = write(tmp_path / "a.mkv", frames, colorspace=matrix, color_range=1)
        pixels, report = read(clip)
        assert [np.ptp(picture) for picture in pixels] == [0, 0] and report.broken is None
        assert abs(int(pixels[0][0, 0, 0]) - round((180 - 16) * 255 / 219)) <= 1
        assert len(report.notes) == (matrix != 8)

    def test_what_cannot_be_converted_is_damage_and_no_trouble_of_the_disk(self) -> None:
        """FFmpeg's error is an OSError, which elsewhere means that a file cannot be read."""
        for form in ("gray32le", "yaf32le"):
            damage = Damage()
            pictures = UprightPictures(VideoLimits(), damage)
            assert pictures.whole(VideoFrame(64, 48, form), 1.5, None) is None
            assert pictures.scaled(VideoFrame(64, 48, form), (32, 24)) is None
            assert isinstance(pictures.refusal, UnsupportedMedia) and form in str(pictures.refusal)
            assert (damage.frames, damage.at_s) == (1, 1.5) and damage.reason and form in damage.reason

    def test_dolby_vision_without_a_base_is_named(self, tmp_path: Path) -> None:
        options = {"preset": "ultrafast", "x265-params": "log-level=error:bframes=0"}
        clip = write(
            tmp_path / "a.mp4",
            [plain((400, 512, 512), "yuv420p10le", (160, 96)) for _ in range(2)],
            "libx265",
            options=options,
        )
        assert middle(clip)[1] == ()
        assert clip.read_bytes().count(b"hev1") == 1
        clip.write_bytes(clip.read_bytes().replace(b"hev1", b"dvhe"))
        assert ["Dolby Vision profile 5" in note for note in middle(clip)[1]] == [True]

    def test_notes_of_all_parts_are_those_of_the_clip(self) -> None:
        part = ReadReport(4, 1.0, 64, 48, notes=["a"])
        whole = whole_report([part, replace(part, notes=["b", "a"]), replace(part, notes=[])])
        assert whole.notes == ("a", "b")


@pytest.mark.slow
def test_the_document_and_all_files_have_the_clips_own_shape_and_colours(tmp_path: Path) -> None:
    frames = [plain((573, 512, 512), "yuv420p10le") for _ in range(4)]
    tags: dict[str, Any] = {"colorspace": 9, "color_range": 1, "color_trc": PQ, "color_primaries": BT2020}
    clip = write(tmp_path / "a.mp4", frames, "libx264", Fraction(3, 2), 90, **tags)
    analysis = analyze(clip, Route("r", (Step("colors"),)), Registry([BUILT_IN]))
    document = analysis.result.to_json()
    assert document["notes"] == ["PQ, BT.2020: mapped to SDR"]
    assert (document["source"]["width"], document["source"]["height"]) == (48, 96)
    for name in ("poster.jpg", "annotated.mp4"):
        content = analysis.artifacts[name]
        container: Any = av.open(str(content) if isinstance(content, Path) else io.BytesIO(content))
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
        container.close()
        assert shown.shape == (96, 48, 3) and np.abs(shown[4:12, 20:].astype(int) - 240).max() <= 6


class TestTransparency:
    @pytest.mark.parametrize(
        ("name", "codec", "form"),
        [
            ("a.mov", "qtrle", "argb"), ("a.mov", "png", "rgba"), ("a.mov", "prores_ks", "yuva444p10le"),
            ("a.mkv", "ffv1", "yuva420p"), ("a.mkv", "ffv1", "gbrap10le"), ("a.avi", "utvideo", "gbrap"),
            ("a.avi", "rawvideo", "bgra"), ("a.webm", "libvpx", "yuva420p"), ("a.webm", "libvpx-vp9", "yuva420p"),
        ],
    )  # fmt: skip
    def test_pictures_are_laid_over_white(self, tmp_path: Path, name: str, codec: str, form: str) -> None:
        """Left: magenta hidden under full transparency; middle: half of green; right: green."""
        pixels = np.zeros((48, 96, 4), np.uint8)
        pixels[:, :32], pixels[:, 32:64], pixels[:, 64:] = (255, 0, 200, 0), (0, 255, 0, 128), (0, 255, 0, 255)
        frames = [VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=form) for _ in range(2)]
        options = {"auto-alt-ref": "0"} if codec == "libvpx" else {}
        shown, report = read(write(tmp_path / name, frames, codec, options=options))
        assert len(shown) == 2
        for column, expected in ((8, (255, 255, 255)), (48, (127, 255, 127)), (88, (0, 255, 0))):
            assert np.abs(shown[1][24, column].astype(int) - expected).max() <= 6
        assert report.notes == ()

    def test_grey_with_alpha(self, tmp_path: Path) -> None:
        picture = VideoFrame.from_ndarray(np.full((48, 64, 4), (90, 90, 90, 51), np.uint8), format="rgba")
        pixel, _ = middle(write(tmp_path / "a.mkv", [picture.reformat(format="ya8")]))
        assert pixel == [222, 222, 222]  # 90 * 0.2 + 255 * 0.8

    def test_alpha_that_nobody_filled_hides_nothing(self, tmp_path: Path) -> None:
        clip = write(tmp_path / "a.avi", [packed((30, 60, 90, 0), "bgra")], "rawvideo")
        assert middle(clip)[0] == [90, 60, 30]

    @pytest.mark.slow
    def test_transparent_pictures_of_high_dynamic_range(self, tmp_path: Path) -> None:
        frames = [plain((573, 512, 512, alpha), "yuva444p10le") for alpha in (1023, 0)]
        tags: dict[str, Any] = {"colorspace": 9, "color_range": 1, "color_trc": PQ, "color_primaries": BT2020}
        pixels, _ = read(write(tmp_path / "a.mkv", frames, **tags))
        opaque, hidden = (int(shown[0, 0, 0]) for shown in pixels)
        assert abs(opaque - 240) <= 1 and hidden == 255


class TestShapeOfPixels:
    @pytest.mark.parametrize(
        ("coded", "shape", "expected"),
        [
            ((720, 576), Fraction(64, 45), (1024, 576)),
            ((720, 480), Fraction(8, 9), (720, 540)),
            ((1440, 1080), Fraction(4, 3), (1920, 1080)),
            ((720, 480), Fraction(4320, 4739), (720, 527)),
            ((720, 576), Fraction(200, 201), (720, 576)),
            ((720, 576), Fraction(1), (720, 576)),
            ((720, 576), None, (720, 576)),
            ((720, 576), Fraction(1, 100), (720, 576)),
            ((720, 576), Fraction(4001), (720, 576)),
            ((7680, 4320), Fraction(2), (7680, 2160)),  # wider, it would be over the limit
            ((4320, 7680), Fraction(1, 2), (2160, 7680)),
        ],
    )
    def test_sizes(self, coded: tuple[int, int], shape: Fraction | None, expected: tuple[int, int]) -> None:
        assert square(*coded, shape, VideoLimits()) == expected

    @pytest.mark.parametrize(
        ("name", "codec", "turn", "expected"),
        [
            ("a.mp4", "libx264", 0, (96, 48)),
            ("a.mp4", "libx264", 90, (48, 96)),
            ("a.mkv", "libx264", 180, (96, 48)),
            ("a.ts", "libx264", 0, (96, 48)),
            ("a.avi", "mpeg4", 0, (96, 48)),
        ],
    )
    def test_a_circle_is_round(
        self, tmp_path: Path, name: str, codec: str, turn: int, expected: tuple[int, int]
    ) -> None:
        rows, columns = np.mgrid[:48, :64]
        pixels = np.where(((columns - 31.5) * 1.5) ** 2 + (rows - 23.5) ** 2 < 18**2, 0, 255).astype(np.uint8)
        frame = VideoFrame.from_ndarray(np.repeat(pixels[..., None], 3, axis=2), format="rgb24")
        clip = write(tmp_path / name, [frame.reformat(format="yuv420p")] * 12, codec, Fraction(3, 2), turn)
        info = probe(clip)
        assert (info.width, info.height) == (96, 48)
        shown, report = read(clip)
        assert (report.width, report.height) == expected == shown[0].shape[1::-1]
        dark = shown[0].mean(axis=2) < 128
        assert abs(int(dark.any(axis=0).sum()) - 36) <= 1 and abs(int(dark.any(axis=1).sum()) - 36) <= 1

    def test_the_containers_word_counts(self, tmp_path: Path) -> None:
        clip = write(tmp_path / "a.mp4", [plain((90, 128, 128), "yuv420p")], "libx264", Fraction(3, 2))
        content = clip.read_bytes()
        at = content.index(b"pasp") + 4
        assert content[at : at + 8] == bytes([0, 0, 0, 3, 0, 0, 0, 2])
        clip.write_bytes(content[:at] + bytes([0, 0, 0, 2, 0, 0, 0, 1]) + content[at + 8 :])
        assert read(clip)[0][0].shape == (48, 128, 3)

    def test_absurd_shapes_are_ignored_and_said(self, tmp_path: Path) -> None:
        clip = write(tmp_path / "a.mp4", [plain((90, 128, 128), "yuv420p")], "libx264", Fraction(1, 20))
        pixels, report = read(clip)
        assert pixels[0].shape == (48, 64, 3) and report.notes == ("a pixel shape of 1:20 was ignored",)


class TestSizesThatChange:
    LIMITS = VideoLimits(max_pixels=64 * 48)

    def clip(self, folder: Path, *sizes: tuple[int, int], shapes: Sequence[Fraction | None] = (None,) * 3) -> Path:
        """Streams of several sizes, one after another, as a recording gives whose source changes."""
        content = b""
        for number, (size, shape) in enumerate(zip(sizes, shapes, strict=False)):
            frames = [plain((90, 128, 128), "yuv420p", size) for _ in range(3)]
            content += write(folder / f"{number}.h264", frames, "libx264", shape).read_bytes()
        path = folder / "whole.h264"
        path.write_bytes(content)
        return path

    def test_pictures_over_the_limit_are_damage_and_the_others_are_kept(self, tmp_path: Path) -> None:
        clip = self.clip(tmp_path, (64, 48), (128, 96), (64, 48))
        pixels, report = read(clip, limits=self.LIMITS)
        assert len(pixels) == 6 and report.frames == 9 and report.damaged_frames == 3
        assert report.broken and "128x96" in report.broken
        assert read(clip, limits=self.LIMITS, anchor=Anchor(), size=(64, 48))[1].damaged_frames == 3

    def test_a_change_of_shape_is_said(self, tmp_path: Path) -> None:
        said = ("some of its pictures have another shape: stretched to that of the first",)
        pixels, report = read(self.clip(tmp_path, (64, 48), (96, 48)))
        assert {picture.shape for picture in pixels} == {(48, 64, 3)} and report.notes == said
        pixels, report = read(self.clip(tmp_path, (64, 48), (64, 48), shapes=(Fraction(16, 11), Fraction(12, 11))))
        assert {picture.shape for picture in pixels} == {(48, 93, 3)} and report.notes == said
        assert read(self.clip(tmp_path, (64, 48), (128, 96)))[1].notes == ()

    def test_a_clip_of_nothing_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(LimitExceeded, match="128x96"):
            read(self.clip(tmp_path, (128, 96)), limits=self.LIMITS)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (2, (0, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_pictures_with_exif_are_read_and_upright(orientation: int, corner: tuple[int, int]) -> None:
    pixels, exif = np.zeros((48, 64, 3), np.uint8), Pillow.Exif()
    pixels[:16, :16] = 255  # upper left as stored; EXIF's orientation says where that belongs
    exif[0x0112] = orientation
    content = io.BytesIO()
    Pillow.fromarray(pixels).save(content, "JPEG", exif=exif.tobytes())
    frames = [frame.pixels for frame in VideoReader(io.BytesIO(content.getvalue() * 4))]
    assert len(frames) == 4 and frames[0].shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert (frames[0][row, column, 0] > 128) == ((row, column) == corner)
