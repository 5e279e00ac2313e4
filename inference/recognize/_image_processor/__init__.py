"""preprocessor_config.json of Hugging Face as our preprocessing: every field that changes pixels is read or refused.

What the fields mean and the order of the steps (resize, crop, rescale, normalise, flip, pad) are from transformers'
image processors, the defaults of each class (defaults.py) too.
"""

from __future__ import annotations

from inference.recognize._export import Export
from inference.recognize._fields import Fields
from inference.recognize._image_processor.padding import pad
from inference.recognize._image_processor.reader import Reader, Reading
from inference.recognize._image_processor.sizes import crop_and_resize
from inference.recognize._image_processor.values import colours, rescale_and_normalize

# Read here, or without effect on the pixels of a single RGB picture at inference.
_READ = {
    *("size", "crop_size", "crop_pct", "resample", "do_resize", "do_center_crop", "do_rescale", "rescale_factor"),
    *("do_normalize", "image_mean", "image_std", "do_flip_channel_order", "do_flip_channels", "rescale_offset"),
    *("offset", "include_top", "do_pad", "pad_and_return_pixel_mask", "pad_size", "size_divisor", "do_grayscale"),
    *("size_divisibility", "keep_aspect_ratio", "ensure_multiple_of", "max_size", "_max_size", "default_to_square"),
    *("do_reduce_labels", "reduce_labels", "do_affine_transform", "image_processor_type", "feature_extractor_type"),
    *("do_convert_rgb", "do_convert_annotations", "format", "processor_class", "auto_map", "model_input_names"),
    *("_valid_processor_keys", "_name_or_path", "_processor_class", "data_format", "input_data_format", "device"),
    *("return_tensors", "disable_grouping", "num_labels", "ignore_index", "repo_path", "class_info_file", "metadata"),
    *("num_text", "task_seq_length", "max_seq_length", "return_segmentation_masks", "masks_path", "reducing_gap"),
    *("normalize_factor", "image_seq_length", "num_frames", "fps", "do_sample_frames", "video_processor_type"),
    *("prompt_scale_to_meter", "num_channels", "image_type", "library_name", "transformers_version"),
}
_ABOUT_PIXELS = (
    *("size", "pixel", "edge", "crop", "pad", "scale", "norm", "mean", "std", "flip", "channel", "color", "colour"),
    *("gray", "grey", "sample", "interpol", "offset", "rotat", "mirror", "gamma", "bgr", "rgb", "invert", "alias"),
    *("divis", "multiple", "aspect", "factor", "tile", "patch", "split", "resolution", "align", "blur", "bright"),
)


def read(fields: Fields, kind: str, export: Export) -> Reading:
    """Our preprocessing from an image processor's fields, for this export's input.

    kind: model_type of config.json in letters and digits, which names the class where the fields do not.
    Raises BadManifest for a value that is none, and for a field that changes pixels in a way that is not done here.
    """
    reader = Reader(fields, kind, export)
    _refuse_unknown(reader)
    how = reader.reading.how
    crop_and_resize(reader, how)
    rescale_and_normalize(reader, how)
    pad(reader, how)
    colours(reader, how)
    reader.reading.reduces_labels = fields.flag("do_reduce_labels", fields.flag("reduce_labels", False))
    if reader.left_out:
        names = ", ".join(dict.fromkeys(reader.left_out))
        reader.reading.reasons.append(f"left out there, so the defaults of {reader.name}: {names}")
    return reader.reading


def _refuse_unknown(reader: Reader) -> None:
    """Raises BadManifest for an unknown field that may change pixels; others are named as assumed to change none."""
    others: list[str] = []
    for name, value in reader.fields.values.items():
        if name in _READ or value is None or value is False or value in ("", [], {}):
            continue
        if name.startswith("do_") or any(word in name.lower() for word in _ABOUT_PIXELS):
            raise reader.cannot(name, "this field is not known here and may change pixels")
        others.append(name)
    if others:
        reader.assume(
            f"{', '.join(others)[:200]} in preprocessor_config.json: taken to change no pixels; a model.toml with "
            "[preprocess] says otherwise"
        )
