from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.kernels.picking.taps import bilinear_taps, nearest_taps
from geo_assets_tests.kernels.picking.pictures import axes


@given(st.integers(1, 30), st.data())
def test_taps_are_found_where_they_lie(length, data):
    centres = data.draw(axes(length))
    taps = data.draw(st.sampled_from([bilinear_taps, nearest_taps]))(centres, length)
    first = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(first + 1, length))
    has_tap = [index for index in range(taps.begin, taps.end) for tap in {taps.first[index], taps.second[index]}
               if first <= tap < end]  # fmt: skip
    all_taps = [index for index in range(taps.begin, taps.end)
                if first <= taps.first[index] and taps.second[index] < end]  # fmt: skip
    astride = [index for index in range(taps.begin, taps.end) if taps.first[index] < first <= taps.second[index]]
    assert sorted(set(has_tap)) == list(range(*taps.touching(first, end)))
    assert all_taps == list(range(*taps.within(first, end)))
    assert astride == list(range(*taps.straddling(first)))
    assert (taps.first[: taps.begin] == -1).all()
    assert (taps.first[taps.end :] == -1).all()
    outside = [index for index, centre in enumerate(centres) if not 0 <= round(centre, 9) <= length]
    assert outside == [*range(taps.begin), *range(taps.end, len(centres))]


@given(st.integers(1, 20), st.data())
def test_moved_taps_are_the_same_taps_counted_from_elsewhere(length, data):
    taps = bilinear_taps(data.draw(axes(length)), length)
    outputs = data.draw(st.integers(0, taps.begin)) if taps.begin < taps.end else 0
    stored = taps.stored[0]
    moved = taps.moved(outputs=outputs, stored=stored)
    held, moved_held = slice(taps.begin, taps.end), slice(moved.begin, moved.end)
    assert_array_equal(moved.first[moved_held] + stored, taps.first[held])
    assert_array_equal(moved.second[moved_held] + stored, taps.second[held])
    assert_array_equal(moved.weight[moved_held], taps.weight[held])
    assert moved.begin == taps.begin - outputs
