"""A check of Schemathesis's kind: what fits the OpenAPI document is refused only for what a JSON schema cannot say.

It takes the place of `positive_data_acceptance`, which allows a 422 nowhere or everywhere.
"""

import re
from typing import Any, Final

import schemathesis
from schemathesis import Case, CheckContext, Response

BEYOND_A_SCHEMA: Final = {
    r"no object has the id": "relationships name objects of the same graph",
    r"another object has the id": "ids differ",
    r"a graph may have \d+ (objects|relationships)": "ends without a name are objects, GQA sums over objects",
    r"half of a surrogate|lone surrogates|printable characters|NaN": "patterns know no classes of Unicode",
    r"must be at most \d+ bytes of JSON|nested deeper than": "sizes and depths of any JSON",
    r"offset \+ limit is at most": "sums of two fields",
    r"may have \d+ conditions": "of must and must_not together",
    r"of a batch may ask for \d+": "sums over all searches",
    r"there is no checkpoint '": "what is in a directory of the service",
    r"^/text": "a query language has a grammar of its own",
    r"valid integer|an id is a non-empty string or a whole number, not a number": "to a schema 1.0 is an integer",
    r"an id may have \d+ characters": "nor has it a length of numbers",
}
"""Of a problem's details, and why a schema does not say it."""


@schemathesis.check
def refused_only_for_what_a_schema_cannot_say(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Each detail of a 422 to valid data is one of BEYOND_A_SCHEMA."""
    meta = case.meta
    if response.status_code != 422 or meta is None or not meta.generation.mode.is_positive:
        return
    for item in response.json()["errors"]:
        told = f"{item['pointer']}: {item['detail']}"
        assert any(re.search(pattern, told) for pattern in BEYOND_A_SCHEMA), f"valid data, refused: {told}"
