"""Large photos, each of which is another file."""

from collections.abc import Iterator

import pyvips

WIDTH, HEIGHT = 4000, 3000


def photos(count: int) -> Iterator[bytes]:
    """JPEGs of 12 megapixels. They show the same, but no two have the same bytes."""
    picture = _picture()
    for number in range(count):
        yield picture + number.to_bytes(8, "big")


def _picture() -> bytes:
    """About as hard to decode as a photo: soft shapes with some grain."""
    bands = [
        pyvips.Image.gaussnoise(WIDTH // 40, HEIGHT // 40, mean=128, sigma=60, seed=seed)
        .resize(40)
        .add(pyvips.Image.gaussnoise(WIDTH, HEIGHT, sigma=6, seed=seed + 10))
        for seed in range(3)
    ]
    joined = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    return bytes(joined.jpegsave_buffer(Q=85))
