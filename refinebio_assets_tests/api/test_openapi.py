"""Whatever the OpenAPI document allows or forbids is answered as it says, and never by a fault."""

from __future__ import annotations

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

# Leniency that v1 asks for (empty values, pages that make no sense) is no fault.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_route(app: FastAPI) -> None:
    schema = schemathesis.openapi.from_asgi("/v1/schema/", app)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) > 35
    for operation in operations:
        either = st.one_of(
            operation.as_strategy(generation_mode=mode)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        )

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=either)
        def answered(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        answered()
