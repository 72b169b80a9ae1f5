"""What the models are made of: base classes, identifiers, texts, times."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler
from pydantic import UUID5 as _AnyUUID5
from pydantic import ValidationError, WrapValidator
from pydantic_core import PydanticCustomError
from uuid import UUID

NOT_FOUND_ERROR = "not_found"
"""Type of the validation error of a UUID that cannot be one: it names nothing that exists."""
