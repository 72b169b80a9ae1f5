"""JSON Schemas of the models, for both documents."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core.core_schema import WithDefaultSchema

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"


class _Plain(GenerateJsonSchema):
    """Without titles that repeat names of fields, and without defaults that say "absent"."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: WithDefaultSchema) -> Schema:
        inner: Schema = super().default_schema(schema)
        if inner.get("default", ...) is None:
            del inner["default"]
        return inner


def component_schemas(models: Iterable[type[BaseModel]]) -> dict[str, Schema]:
    """The schemas of models and of all that they contain, by name, in alphabetical order."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template=_REFERENCE,
        schema_generator=_Plain,
    )
    return dict(sorted(definitions["$defs"].items()))


def fields_of(model: type[BaseModel]) -> tuple[Mapping[str, Schema], frozenset[str]]:
    """The schemas of a model's fields, and which of them are required."""
    schema = model.model_json_schema(ref_template=_REFERENCE, schema_generator=_Plain)
    return schema.get("properties", {}), frozenset(schema.get("required", ()))


def reference(annotation: Any) -> Schema:
    """A model, or a list of one, by its name in the components."""
    if get_origin(annotation) is list:
        return {"type": "array", "items": reference(get_args(annotation)[0])}
    return {"$ref": _REFERENCE.format(model=annotation.__name__)}


def model_of(annotation: Any) -> type[BaseModel]:
    """The model of a body that is a model or a list of one."""
    model: type[BaseModel] = get_args(annotation)[0] if get_origin(annotation) else annotation
    return model


def sentence(model: type[BaseModel]) -> str:
    """A model's docstring on one line."""
    return " ".join((model.__doc__ or "").split())
