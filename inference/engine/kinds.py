"""Which class runs the models of a task."""

from __future__ import annotations

from inference.engine.model import Loaded, Model
from inference.manifest import Manifest


def kind_of(manifest: Manifest) -> type[Loaded]:
    """The class that feeds and runs models of this task; decided nowhere else."""
    # Lazily: most apps have no model of these kinds, and the first picture pays for every import.
    if manifest.task == "image-to-image":
        from inference.engine.image_to_image import ImageToImage

        return ImageToImage
    if manifest.task == "video-classification":
        from inference.engine.clip import ClipModel

        return ClipModel
    return Model
