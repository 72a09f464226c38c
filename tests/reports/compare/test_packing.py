"""Per-example values as text."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.compare.packing import pack, unpack


@given(st.lists(st.sampled_from([0.0, 1.0])))
def test_zeros_and_ones_come_back_as_they_were(values):
    assert unpack(pack(values)).tolist() == values


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32)))
def test_other_values_come_back_to_three_digits(values):
    found = unpack(pack(values))
    assert np.allclose(found, values, rtol=2**-10, atol=2**-10)


def test_a_thousand_bits_take_less_than_two_hundred_characters():
    assert len(pack(np.random.default_rng(0).integers(0, 2, 1000))) < 200


@pytest.mark.parametrize(
    "text",
    ["", "bits", "bits:8", "bits:8:!!", "bits:x:eJwDAAAAAAE=", "words:8:eJwDAAAAAAE=", "bits:8:eJwDAAAAAAE=",
     "bits:0:" + base64.b64encode(zlib.compress(b"\0" * 10**6)).decode()],
)  # fmt: skip
def test_what_pack_did_not_write_is_refused(text):
    with pytest.raises(ValueError, match="packed"):
        unpack(text)
