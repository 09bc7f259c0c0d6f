"""Arrivals to put into an inbox, and what comes out of it."""

import base64
import random

from gateway.core.arrivals import Arrival, Item, encode_arrival, read_frame

ALL = {"frames_max": 1000, "bytes_max": 1 << 30}


def noise(size: int) -> str:
    """Text of that length that packing makes hardly smaller."""
    return base64.b85encode(random.Random(size).randbytes(size)).decode()[:size]


def arrival(text: str) -> bytes:
    return encode_arrival(Arrival("shop", 1, (Item(text.encode()),)))


def texts(frames) -> list[str]:
    return [item.body.decode() for frame in frames for one in read_frame(frame.body) for item in one.items]
