"""Looks into pictures and makes smaller ones, with libvips. Runs in imaging processes only.

What a file claims about itself (its size, its number of frames) is looked at before anything of it
is decoded. Only decoders of the formats in `formats.py` are allowed to run at all.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blurhash
import pyvips

from mediarepo.imaging.formats import FOR_THUMBNAILS, HEAD_BYTES, Format, sniff
from mediarepo.imaging.jobs import (
    MAX_SIDE,
    ImageFacts,
    InspectJob,
    Limits,
    Made,
    Problem,
    ThumbnailJob,
)
from mediarepo.imaging.png_chunks import is_animated_png

_LOADERS = ("Jpeg", "Png", "Nsgif", "Webp", "Heif")
_ANIMATED_FORMATS = frozenset({Format.GIF, Format.WEBP})
_TURNED = frozenset({5, 6, 7, 8})
"""EXIF 2.32, 4.6.4 "Orientation": these swap width and height."""
_BLURHASH_PIXELS = 32
_QUALITY = 80
_ANIMATION_QUALITY = 70


class Unfit(Exception):
    """A picture that no answer can be made of."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.wrong)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Picture:
    """What the header says. width, height: as it is meant to be seen, of one frame.

    is_srgb: its colours are those of screens already.
    """

    file: str
    format: Format
    width: int
    height: int
    frames: int
    is_animated: bool
    is_srgb: bool


def restrict() -> None:
    """Lets libvips decode the formats that are wanted, from files, and nothing else."""
    pyvips.operation_block_set("VipsForeignLoad", state=True)
    for loader in _LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{loader}Source", state=False)
    pyvips.block_untrusted_set(state=True)
    pyvips.cache_set_max(0)


def inspect(job: InspectJob) -> ImageFacts:
    """Raises Unfit, pyvips.Error."""
    picture = _open(job.file, job.limits)
    return ImageFacts(
        width=picture.width,
        height=picture.height,
        content_type=picture.format.value,
        animated=picture.is_animated,
        blurhash=_blurhash(picture),
    )


def make_thumbnail(job: ThumbnailJob) -> Made:
    """Raises Unfit, pyvips.Error."""
    picture = _open(job.file, job.limits)
    animate = job.animated and _can_animate(picture, job.limits)
    if _is_small(picture, job) and _may_be_as_it_is(picture, animate=job.animated):
        return _as_it_is(picture)
    smaller = _animated(picture, job) if animate else _still(picture, job)
    content_type = _write(smaller, Path(job.output), animate=animate)
    height = int(smaller.get("page-height")) if animate else smaller.height
    return Made(
        is_original=False,
        width=smaller.width,
        height=height,
        content_type=content_type,
        animated=animate,
    )


def _open(file: str, limits: Limits) -> _Picture:
    with Path(file).open("rb") as opened:
        kind = sniff(opened.read(HEAD_BYTES))
    if kind is None:
        raise Unfit(Problem(wrong="not_an_image"))
    header = pyvips.Image.new_from_source(pyvips.Source.new_from_file(file), "")
    _check(header, limits)
    turned = _field(header, "orientation", 1) in _TURNED
    width, height = (header.height, header.width) if turned else (header.width, header.height)
    frames = _field(header, "n-pages", 1)
    return _Picture(
        file=file,
        format=kind,
        width=width,
        height=height,
        frames=frames,
        is_animated=frames > 1 or (kind is Format.PNG and is_animated_png(Path(file))),
        is_srgb=header.interpretation == "srgb" and not header.get_typeof("icc-profile-data"),
    )


def _check(header: Any, limits: Limits) -> None:
    """Before anything is decoded: a file of a few kilobytes may say that it has gigapixels."""
    longer = max(header.width, header.height)
    if header.width * header.height > limits.max_pixels or longer > MAX_SIDE:
        raise Unfit(Problem(wrong="too_large"))


def _field(image: Any, name: str, default: int) -> int:
    return int(image.get(name)) if image.get_typeof(name) else default


def _can_animate(picture: _Picture, limits: Limits) -> bool:
    """All frames together have to fit as well as one large picture would."""
    return (
        picture.format in _ANIMATED_FORMATS
        and 1 < picture.frames <= limits.max_frames
        and picture.width * picture.height * picture.frames <= limits.max_pixels
    )


def _is_small(picture: _Picture, job: ThumbnailJob) -> bool:
    """C-S API v1.19 "Thumbnails": no thumbnail is larger than the picture itself."""
    return picture.width <= job.width and picture.height <= job.height


def _may_be_as_it_is(picture: _Picture, *, animate: bool) -> bool:
    return picture.format in FOR_THUMBNAILS and (animate or not picture.is_animated)


def _as_it_is(picture: _Picture) -> Made:
    return Made(
        is_original=True,
        width=picture.width,
        height=picture.height,
        content_type=picture.format.value,
        animated=picture.is_animated,
    )


def _still(picture: _Picture, job: ThumbnailJob) -> Any:
    crop = "centre" if job.crop else "none"
    return _shrunk(picture, job.width, job.height, crop=crop)


def _shrunk(picture: _Picture, width: int, height: int, **options: Any) -> Any:
    """Turned as its EXIF data says, in sRGB, and never larger than it was."""
    if not picture.is_srgb:
        options["output_profile"] = "srgb"
    return pyvips.Image.thumbnail_source(
        pyvips.Source.new_from_file(picture.file),
        width,
        height=height,
        size="down",
        fail_on="none",
        **options,
    )


def _animated(picture: _Picture, job: ThumbnailJob) -> Any:
    """All frames, one below the other as libvips has them."""
    if not job.crop:
        return _shrunk(picture, job.width, job.height, option_string="n=-1")
    factor = min(1.0, max(job.width / picture.width, job.height / picture.height))
    width, height = (max(1, round(side * factor)) for side in (picture.width, picture.height))
    covering = _shrunk(picture, width, height, option_string="n=-1")
    return _cut_frames(covering, job.width, job.height)


def _cut_frames(frames: Any, width: int, height: int) -> Any:
    frame_height = int(frames.get("page-height"))
    width, height = min(width, frames.width), min(height, frame_height)
    left, top = (frames.width - width) // 2, (frame_height - height) // 2
    frames = frames.copy_memory()
    cut = [
        frames.crop(left, at + top, width, height) for at in range(0, frames.height, frame_height)
    ]
    joined = pyvips.Image.arrayjoin(cut, across=1).copy()
    joined.set("page-height", height)
    return joined


def _write(image: Any, output: Path, *, animate: bool) -> str:
    """The content type of what was written. Nothing of what came with the picture is kept."""
    target = pyvips.Target.new_to_file(str(output))
    if animate:
        image.webpsave_target(target, Q=_ANIMATION_QUALITY, effort=2, keep="none")
        return Format.WEBP.value
    if image.hasalpha():
        image.pngsave_target(target, bitdepth=8, keep="none")
        return Format.PNG.value
    image.jpegsave_target(target, Q=_QUALITY, optimize_coding=True, keep="none")
    return Format.JPEG.value


def _blurhash(picture: _Picture) -> str:
    """Of three by four components, more of them along the longer side."""
    small = _shrunk(picture, _BLURHASH_PIXELS, _BLURHASH_PIXELS).colourspace("srgb")
    opaque = small.flatten(background=255) if small.hasalpha() else small
    rgb = opaque.cast("uchar").copy_memory()
    bands = zip(*(band.tolist() for band in rgb.bandsplit()[:3]), strict=True)
    rows = [list(zip(*row, strict=True)) for row in bands]
    across, down = (4, 3) if picture.width >= picture.height else (3, 4)
    return str(blurhash.encode(rows, components_x=across, components_y=down))
