"""What a fit leaves behind, to be compared bit by bit."""

import numpy as np


def results(model) -> dict:
    """Return parameters and fitted attributes, public and private, but for the time that it took.

    With ``warm_start=True`` the moments of the optimizer and the random stream are among them.
    """
    state = model.__getstate__()
    for name in ("_skl_callbacks", "_sklearn_version"):
        state.pop(name, None)
    assert len(state["_model"]["history"]) == len(state["history_"])
    state["_model"] = {**state["_model"], "history": None}
    state["history_"] = [{**epoch, "seconds": None} for epoch in state["history_"]]
    return state


def assert_same(one, other, name="") -> None:
    """Raise an error that names the first difference of two nested values."""
    assert type(one) is type(other), name
    if isinstance(one, dict):
        assert one.keys() == other.keys(), name
        for key in one:
            assert_same(one[key], other[key], f"{name}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), name
        for position, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, theirs, f"{name}.{position}")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)
    elif isinstance(one, np.random.Generator):
        assert_same(one.bit_generator.state, other.bit_generator.state, name)
    else:
        assert one == other, f"{name}: {one!r} and {other!r}"
