"""What the keywords of all architectures have in common. Loads no Keras."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Options(BaseModel):
    """The keywords of one architecture on one backbone; a command line gives them as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str = Field(exclude=True)


def option_text(value: Any) -> str:
    """A value as a command line gives it: `16,32`, `true`, `8`."""
    if isinstance(value, (tuple, list)):
        return ",".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _several(value: Any) -> Any:
    """`12` stands for one number, and nothing for none."""
    if isinstance(value, int):
        return (value,)
    return tuple(value.split()) if isinstance(value, str) else value


#: Of a dilated backbone.
OutputStride = Annotated[Literal[8, 16, 32], BeforeValidator(_number)]
#: Any number of whole numbers.
Numbers = Annotated[tuple[int, ...], BeforeValidator(_several)]
