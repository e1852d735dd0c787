"""Units survive whole or not at all."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import MissingProductError, ProductError
from geo_assets.io import checkpoint as checkpoint_module
from geo_assets.io.checkpoint import Checkpoint

BANDS = {"bands": np.arange(24, dtype=np.int16).reshape(2, 3, 4), "clear": np.array([True, False])}


class MemoryStore:
    def __init__(self):
        self.content = {}

    def read(self, key):
        if key not in self.content:
            raise MissingProductError(key)
        return self.content[key]

    def write(self, key, data):
        self.content[key] = data


def any_arrays():
    shapes = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
    dtypes = st.one_of(
        arrays_of.integer_dtypes(),
        arrays_of.floating_dtypes(),
        arrays_of.boolean_dtypes(),
        arrays_of.datetime64_dtypes(),
        arrays_of.unicode_string_dtypes(),
    )
    return st.dictionaries(st.text(max_size=8), arrays_of.arrays(dtypes, shapes), max_size=4)


@settings(max_examples=50)
@given(any_arrays())
def test_any_arrays_come_back_as_they_were(arrays):
    units = Checkpoint(MemoryStore(), "units")
    units.put("a/1", arrays)
    found = units.get("a/1")
    assert list(found) == sorted(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert_array_equal(found[name], array)


def test_of_a_unit_only_what_is_wanted_is_unpacked():
    units = Checkpoint(MemoryStore(), "units")
    units.put("u", BANDS)
    assert list(units.get("u", beginning="band")) == ["bands"]
    assert units.get("u", beginning="x") == {}
    assert_array_equal(units.get("u", beginning="clear")["clear"], BANDS["clear"])


@settings(max_examples=50)
@given(any_arrays())
def test_the_same_arrays_have_the_same_bytes_in_any_order(arrays):
    backwards = dict(reversed(arrays.items()))
    assert checkpoint_module._packed(arrays) == checkpoint_module._packed(backwards)


@given(st.data())
def test_a_unit_changed_or_cut_anywhere_is_no_unit(data):
    store = MemoryStore()
    units = Checkpoint(store, "units")
    units.put("u", BANDS)
    whole = store.content["units/u.unit"]
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(flipped), whole[:at]):
        store.content["units/u.unit"] = damaged
        assert units.get("u") is None


def test_a_unit_is_made_once_and_counted(store):
    first = Checkpoint(store, "valley/.units/f")
    assert_array_equal(first.take("u", lambda: BANDS)["bands"], BANDS["bands"])
    again = Checkpoint(store, "valley/.units/f")
    found = again.take("u", lambda: pytest.fail("made a second time"))
    assert list(found) == ["bands", "clear"]
    assert_array_equal(found["bands"], BANDS["bands"])
    assert (first.computed, first.reused, again.computed, again.reused) == (1, 0, 0, 1)


def test_a_damaged_unit_is_made_again(local_store, caplog):
    units = Checkpoint(local_store, "units")
    units.put("u", BANDS)
    local_store.write("units/u.unit", local_store.read("units/u.unit")[:-1])
    assert_array_equal(units.take("u", lambda: BANDS)["bands"], BANDS["bands"])
    assert units.computed == 1
    assert "damaged" in caplog.text
    assert units.get("u") is not None


def test_units_of_another_fingerprint_are_not_taken(store):
    Checkpoint(store, "valley/.units/old").put("u", BANDS)
    assert Checkpoint(store, "valley/.units/new").get("u") is None


def test_threads_share_a_checkpoint(local_store):
    units = Checkpoint(local_store, "units")
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda n: units.take(f"u{n % 20}", lambda: {"n": np.array(n % 20)})["n"], range(80)))
    assert values == [n % 20 for n in range(80)]
    assert (units.computed, units.reused) == (20, 0)


def test_objects_are_refused():
    with pytest.raises(ProductError, match="dtype object"):
        Checkpoint(MemoryStore(), "units").put("u", {"things": np.array([{}])})
