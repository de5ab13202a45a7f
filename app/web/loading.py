"""Arguments in good order, loaded without ceremony: what nearly every request brings, at a third of the work.

marshmallow's `load` gathers what is wrong with every field, runs hooks, and knows collections and partial bodies.
Here the schema's own fields, with their types, validators and defaults, load one value each, its own checks of the
whole follow, and the first thing that is not plainly right ends it: then marshmallow loads the whole, and says of each
field what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, missing
from marshmallow.decorators import VALIDATES_SCHEMA


class Loader:
    """What a plain schema takes."""

    def __init__(self, schema: Schema) -> None:
        assert is_plain(schema)
        self._fields = tuple(
            (field.data_key or name, field.attribute or name, field.deserialize)
            for name, field in schema.load_fields.items()
        )
        self._checks = tuple(getattr(schema, name) for name, _, _ in schema._hooks[VALIDATES_SCHEMA])
        self.known = frozenset(key for key, _, _ in self._fields)

    def load(self, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """The values by the names of their fields; None where one is not right. Looks at known names only."""
        loaded = {}
        try:
            for key, name, deserialize in self._fields:
                value = deserialize(data.get(key, missing), key, data)
                if value is not missing:
                    loaded[name] = value
            for check in self._checks:
                check(loaded, partial=None, many=False, unknown=RAISE)
        except ValidationError:
            return None
        return loaded


def is_plain(schema: Schema) -> bool:
    """Whether loading it is no more than loading each field, refusing unknown names, and checking what came of it."""
    return not (
        any(hooks for kind, hooks in schema._hooks.items() if kind != VALIDATES_SCHEMA)
        or any(of_many or options.get("pass_original") for _, of_many, options in schema._hooks[VALIDATES_SCHEMA])
        or schema.many
        or schema.partial
        or schema.unknown != RAISE
        or schema.dict_class is not dict
        or any("." in (field.attribute or "") for field in schema.load_fields.values())
    )
