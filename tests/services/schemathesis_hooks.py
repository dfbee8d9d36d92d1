"""What a schema cannot say of a request: how a film is written, that its key is a fresh one, which images and parts
there are."""

import json
import os
import uuid
from typing import Any

import schemathesis


@schemathesis.serializer("application/dicom")
def as_it_is(context: schemathesis.SerializationContext, value: Any) -> Any:
    """A film is bytes; whatever else was made up for one is sent as what it looks like."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if isinstance(case.body, dict) and case.body.get("stopped") is True:  # all others would rightly be 503
        case.body["stopped"] = False
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if isinstance(case.body, dict):
        if "exclude" in case.body:  # which parts there are is the case's to say
            case.body |= {"decision": "same_patient", "exclude": []}
        for document in (case.body, case.body.get("case"), case.body.get("inputs")):
            _refer_to_what_is_stored(document)


def _refer_to_what_is_stored(document: object) -> None:
    images = document.get("images") if isinstance(document, dict) else None
    for image in images if isinstance(images, list) else []:
        image["sop_instance_uid"] = os.environ["STORED_INSTANCE"]
        image.pop("modality", None)  # which modalities there are is the model's to say
