"""The shapes of the codec endpoint: protobuf's JSON of Temporal's `Payloads`."""

from pydantic import BaseModel, ConfigDict, Field

from recipes.model import Json

_SEALED: dict[str, Json] = {
    "payloads": [
        {
            "metadata": {
                "encoding": "YmluYXJ5L2NvdW50ZXJzaWdu",
                "key": "MGY2YzJmMGEtM2E1Mi00ZDM3LThkN2MtMGIxYzdmMWY5YTU1OnNoYXJlZA==",
            },
            "data": "AfsZ3m0f4p9w7gJX",
        }
    ]
}


class CodecPayload(BaseModel):
    """`metadata` (`encoding` and others) and `data` are base64."""

    metadata: dict[str, str] = {}
    data: str = ""


class CodecPayloads(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_SEALED]})
    payloads: list[CodecPayload] = Field(default_factory=list[CodecPayload])
