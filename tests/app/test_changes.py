"""`put` touches only what differs."""

import param
import pytest

from ddg_explorer.app.changes import put


class Thing(param.Parameterized):
    size = param.Number(1.0)
    names = param.List(["a"])


def test_what_differs_changes_in_one_update():
    thing, events = Thing(), []
    thing.param.watch(lambda *changed: events.append([e.name for e in changed]), ["size", "names"])
    put(thing, size=1.0, names=["a"])
    assert events == []
    put(thing, size=2.0, names=["a"])
    put(thing, size=3.0, names=["a", "b"])
    assert events == [["size"], ["size", "names"]]
    assert (thing.size, thing.names) == (3.0, ["a", "b"])


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="length"):
        put(Thing(), length=2.0)
