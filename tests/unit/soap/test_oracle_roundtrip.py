"""`decode(encode(x)) == x` for objects of every generated type, and what is decoded is encoded as it was."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.soap.building import BINDING, Builder, classes
from vimlib import vim25
from vimlib.soap import decode_request, decode_response, encode_request, encode_response

OPTIONS = vim25.OptionManager.QueryOptions
AREAS = sorted({cls.__module__ for cls in classes()})


def there_and_back(values: list[Any]) -> list[Any]:
    options = [vim25.OptionValue(key="k", value=value) for value in values]
    body = encode_response(OPTIONS, options)
    decoded = decode_response(OPTIONS, body, strict=True)
    assert encode_response(OPTIONS, decoded) == body
    return [option.value for option in decoded]


@pytest.mark.parametrize("area", AREAS)
@settings(max_examples=10)
@given(rng=st.randoms(use_true_random=False))
def test_every_type(area: str, rng: random.Random) -> None:
    # What hypothesis controls is one seed: it could not shrink thousands of objects at once.
    builder = Builder(random.Random(rng.getrandbits(32)))
    values = [builder.value(cls) for cls in classes() if cls.__module__ == area]
    for value, back in zip(values, there_and_back(values), strict=True):
        assert back == value
        assert type(back) is type(value)


@given(rng=st.randoms(use_true_random=False), cls=st.sampled_from(classes()))
def test_any_type_at_length(rng: random.Random, cls: type[Any]) -> None:
    value = Builder(rng, optional=0.7).value(cls, depth=1)
    assert there_and_back([value]) == [value]


@given(rng=st.randoms(use_true_random=False), name=st.sampled_from(sorted(BINDING.method_names())))
def test_requests(rng: random.Random, name: str) -> None:
    method: Any = BINDING.method(name)
    builder = Builder(random.Random(rng.getrandbits(32)))
    args = {field.name: builder.field(field, 1) for field in method.params}
    this = method.owner("moid")
    body = encode_request(method, this, args)
    request = decode_request(BINDING, body)
    assert request.method is method
    assert request.this == this
    assert request.args == args
    assert encode_request(method, this, request.args) == body
