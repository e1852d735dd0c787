"""What all sections of a region file have in common: strict scalars, no unknown keys, nothing twice."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Whole = Annotated[int, Field(strict=True)]
"""A whole number as YAML writes it: no text, no true."""

Number = Annotated[float, Field(strict=True)]
"""A finite number as YAML writes it: no text, no true."""

Switch = Annotated[bool, Field(strict=True)]
"""True or false as YAML writes them: no text, no number."""


class Settings(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as they are; `ValueError` where one is repeated."""
    if len(set(value)) != len(value):
        raise ValueError("a value is repeated; name each once")
    return value
