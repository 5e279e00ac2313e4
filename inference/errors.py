"""Every error that Dropsight raises on purpose.

    DropsightError
    +-- Permanent            trying again cannot help
    |   +-- UnsupportedMedia
    |   +-- CorruptMedia
    |   +-- UnreadableMedia
    |   +-- LimitExceeded
    |   +-- BadModel
    |   +-- BadManifest
    |   +-- BadRoute
    |   +-- BadPipeline
    |   +-- BadRequest
    +-- Transient            trying again may help
        +-- StorageUnavailable
        |   +-- StorageRefused
        |   +-- DiskFull
        +-- ServiceBusy
        +-- NotReady         this installation must be mended first
        |   +-- ModelUnavailable
        |   |   +-- ModelReplaced
        |   +-- RouteUnavailable
        |   +-- MissingPackage
        +-- OutOfMemory
        +-- TookTooLong

A message names the file, what it is, what was expected and what to do.
"""

from __future__ import annotations

# What to do about a model that answers NaN or infinity.
HALF = "half precision (float16) is the usual reason: export it again in float32"


class DropsightError(Exception):
    """The root. Only the two children below are ever raised."""


class Permanent(DropsightError):
    """The same input fails the same way for ever: record it, do not retry."""


class UnsupportedMedia(Permanent):
    """The file is of a kind that this version does not read."""


class CorruptMedia(Permanent):
    """The file is of a known kind, but its content is broken."""


class UnreadableMedia(Permanent):
    """The file is not there, this process may not read it, or the storage that has it gives it to nobody (archive)."""


class LimitExceeded(Permanent):
    """The file, or what it unpacks to, is larger than the configured limits."""


class BadModel(Permanent):
    """The model cannot be loaded, or does not do what its manifest says."""


class BadManifest(Permanent):
    """The model's manifest is missing, misspelt or contradicts itself."""


class BadRoute(Permanent):
    """The routes file is misspelt, or a route asks for something that does not exist."""


class BadPipeline(Permanent):
    """An entry of pipelines.toml cannot work as it is written."""


class BadRequest(Permanent):
    """A request over HTTP asks with a parameter, or a value, that is not known."""


class Transient(DropsightError):
    """The surroundings failed, not the input: let the host deliver it again."""


class StorageUnavailable(Transient):
    """Storage did not answer, or answered that it is busy."""


class StorageRefused(StorageUnavailable):
    """Storage does not take this very request: what it says of others, or later, is open."""


class DiskFull(StorageUnavailable):
    """This machine's disk is full, or reserved for other work: no file is to blame."""


class ServiceBusy(Transient):
    """A remote service asked us to come back later."""


class NotReady(Transient):
    """This installation lacks something: what needs it waits until that is mended. No file is to blame.

    cause: what it is, for machines, such as "model:yunet"; "" where whoever raises it does not know.
    """

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause[:200]  # it names what people named


class ModelUnavailable(NotReady):
    """The model exists but cannot be had right now (still downloading, say)."""


class ModelReplaced(ModelUnavailable):
    """Another model serves under this name than when this was planned: plan it anew, at once."""


class RouteUnavailable(NotReady):
    """The route cannot be used until its entry or its models are mended: its uploads wait for that."""


class MissingPackage(NotReady):
    """This installation lacks a package that only some features need: what needs it waits until it is installed."""


class TookTooLong(Transient):
    """Work was ended because it took longer than it may: on a machine with less to do it may come to its end."""


class OutOfMemory(Transient):
    """Memory ran out: the file fits the limits, but not beside everything else that this process does now."""
