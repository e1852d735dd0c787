"""What an analyst reads on a partition's page, and in which order."""

from geo_assets.domain.tile_month import Month
from geo_assets.io.manifest import Inputs
from geo_assets.io.places import Place
from geo_assets.io.products import Products
from geo_assets.io.stores.store import open_store
from geo_assets.orchestration.product_metadata import product_metadata
from geo_assets.stations.line import Outcome
from geo_assets_tests.scenery.trivial_line import PIXEL_PNG

PLACE = Place("monthly_composite", "33TVL", Month(2024, 6))


def metadata_of(folder, metrics, *, picture=PIXEL_PNG, reason=None, traffic=None):
    products = Products(open_store(str(folder)), "valley")
    with products.building(PLACE, fingerprint="f" * 64, inputs=Inputs()) as build:
        for name, value in metrics.items():
            build.metric(name, value)
        build.put("item.json", b"{}", "stac.item", "application/geo+json")
        build.put("thumbnail.png", picture, "thumbnail", "image/png")
        if reason is not None:
            build.empty(reason)
    return product_metadata(Outcome(products.need(PLACE), reused=False, seconds=1.23456, traffic=traffic or {}))


def test_the_picture_comes_first_then_numbers_words_lists_and_tables_then_how_and_where_it_was_made(tmp_path):
    metrics = {"a_table": {"x": 1}, "days": [5, 15], "level": "L2A", "reached": True, "valid_share": 0.5, "void": None}
    shown = metadata_of(tmp_path, metrics)
    first = ["thumbnail", "status", "reached", "valid_share", "level", "days", "a_table"]
    assert list(shown) == [*first, "outcome", "seconds", "megabytes_stored", "path", "stac"]
    assert shown["stac"].path.endswith("valley/monthly_composite/33TVL/2024-06/item.json")


def test_numbers_stay_numbers_with_the_decimals_that_mean_something(tmp_path):
    shown = metadata_of(tmp_path, {"valid_share": 0.9918676778, "valid_px": 1_234_567, "reached": False})
    assert shown["valid_share"].value == 0.9919
    assert shown["valid_px"].value == 1_234_567
    assert shown["reached"].value is False
    assert shown["seconds"].value == 1.235


def test_lists_are_read_in_one_line(tmp_path):
    skipped = ["cirrus: no band", "shadow: no sun and view angles, clouds are without"]
    shown = metadata_of(tmp_path, {"days": [8, 18, 25], "skipped": skipped, "tiles_empty": []})
    assert shown["days"].value == "8, 18, 25"
    assert shown["skipped"].value == "cirrus: no band; shadow: no sun and view angles, clouds are without"
    assert shown["tiles_empty"].value == "none"


def test_a_mapping_of_mappings_is_a_table_whose_long_names_are_its_rows(tmp_path):
    scene = "S2A_33TVL_20240605_0_L2A"
    shares = {"class_shares": {scene: {"clear": 0.75, "cloud": 1 / 3}}}
    bands = {"bands": {"red": {"pixels": 1_234_567, "percentiles": {"100": 0.3, "25": 0.1}}}}
    shown = metadata_of(tmp_path, shares | bands)
    assert shown["class_shares"].md_str.splitlines() == [
        "||clear|cloud|",
        "|---|---:|---:|",
        f"|{scene}|0.75|0.3333|",
    ]
    assert shown["bands"].md_str.splitlines() == [
        "||red|",
        "|---|---:|",
        "|percentiles 25|0.1|",
        "|percentiles 100|0.3|",
        "|pixels|1234567|",
    ]


def test_a_table_that_is_too_long_to_be_drawn_is_shown_as_it_is(tmp_path):
    metric = {f"scene {number}": {"clear": number / 7} for number in range(100)}
    assert metadata_of(tmp_path, {"class_shares": metric})["class_shares"].value == metric


def test_a_picture_that_is_too_large_to_be_drawn_is_linked(tmp_path):
    shown = metadata_of(tmp_path, {}, picture=PIXEL_PNG * 12)
    assert shown["thumbnail"].path.endswith("/thumbnail.png")


def test_an_empty_product_says_why(tmp_path):
    shown = metadata_of(tmp_path, {}, reason="no scene was found")
    assert (shown["status"].value, shown["reason"].value) == ("empty", "no scene was found")


def test_what_the_network_was_asked_for_is_shown_where_it_was_asked(tmp_path):
    silent = {"requests": 0, "bytes": 0, "retries": 0, "renewals": 0, "wait_s": 0.0}
    assert "requests" not in metadata_of(tmp_path / "silent", {}, traffic=silent)
    shown = metadata_of(
        tmp_path / "asked",
        {},
        traffic={"requests": 41, "bytes": 12_345_678, "retries": 2, "renewals": 1, "wait_s": 0.5},
    )
    found = {name: shown[name].value for name in ("requests", "retries", "renewals", "megabytes_read")}
    assert found == {"requests": 41, "retries": 2, "renewals": 1, "megabytes_read": 12.346}


def test_pictures_are_named_for_those_who_open_the_folder(tmp_path):
    products = Products(open_store(str(tmp_path)), "valley")
    with products.building(PLACE, fingerprint="f" * 64, inputs=Inputs()) as build:
        for layer in ("uncertainty", "day"):
            build.put(f"{layer}.png", PIXEL_PNG, f"overview.{layer}", "image/png")
    shown = product_metadata(Outcome(products.need(PLACE), reused=False, seconds=1.0, traffic={}))
    assert shown["pictures"].value == "day.png, uncertainty.png"
