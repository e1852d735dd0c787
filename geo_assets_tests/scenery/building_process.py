"""A process that builds one small product from logged units, so that tests can kill it or run two at once."""

import argparse
import os
import time
from pathlib import Path

import boto3
import numpy as np

from geo_assets.domain.tile_month import Month
from geo_assets.io.manifest import Inputs, ItemInput, fingerprint
from geo_assets.io.places import Place
from geo_assets.io.products import Products
from geo_assets.io.stores.store import S3Access, open_store

PLACE = Place("composite", "33TVL", Month(2024, 7))
UNITS = tuple(f"block/{number:02d}" for number in range(12))
REGION = "valley"
INPUTS = Inputs(items=(ItemInput(id="S2A_33TVL_20240711", baseline="05.10"),))


def fingerprint_of(settings: int) -> str:
    return fingerprint("composite", "1", {"settings": settings}, INPUTS.identities())


def build(products: Products, settings: int, log: Path, *, unit_seconds: float = 0.0) -> None:
    """Make the product of `settings`, unless it is done; each unit that is computed adds a line to `log`."""
    if products.done(PLACE, fingerprint_of(settings)) is not None:
        return
    with products.building(PLACE, fingerprint=fingerprint_of(settings), inputs=INPUTS) as build:
        blocks = []
        for number, key in enumerate(UNITS):

            def make(number: int = number, key: str = key) -> dict[str, np.ndarray]:
                with log.open("a") as lines:
                    lines.write(f"{settings} {key}\n")
                time.sleep(unit_seconds)
                generator = np.random.default_rng([settings, number])
                return {"bands": generator.integers(0, 10_000, (4, 64, 64), np.int16)}

            blocks.append(build.units.take(key, make)["bands"])
        bands = np.stack(blocks)
        for index, name in enumerate(("composite.bin", f"layers/only-{settings}.bin", "quality.bin")):
            path = build.scratch(name)
            path.write_bytes(bands[:, index].tobytes())
            build.put(name, path, "composite.part", "application/octet-stream")
        build.metric("mean", bands.mean())
        build.record({"item": INPUTS.items[0].id, "outcome": "read", "bytes": bands.nbytes})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("log", type=Path)
    parser.add_argument("--settings", type=int, default=1)
    parser.add_argument("--unit-seconds", type=float, default=0.0)
    parser.add_argument("--endpoint")
    asked = parser.parse_args()
    access = None
    if asked.endpoint:
        session = boto3.session.Session("key-id", "key-secret", region_name="us-east-1")
        access = S3Access(session, endpoint_url=asked.endpoint, allow_http=True)
    products = Products(open_store(asked.url, s3=access), REGION)
    os.write(1, b"ready\n")
    build(products, asked.settings, asked.log, unit_seconds=asked.unit_seconds)


if __name__ == "__main__":
    main()
