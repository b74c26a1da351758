"""Errors in the form that each of AWS's protocols gives them.

https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from .api import ApiError, Response
from .operations import Operation


def error_response(error: ApiError, operation: Operation, request_id: str) -> Response:
    """An error as the client of this operation expects it.

    Args:
        error: What to say.
        operation: Whose protocol to say it in.
        request_id: Goes into the XML forms' body.
    """
    if operation.protocol == "rest-json":
        return error.to_response()
    if operation.protocol == "json":
        body = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": error.code, **error.headers}
        return Response(error.status, json.dumps(body).encode(), headers)
    code, message = escape(error.code), escape(error.message)
    if operation.protocol == "rest-xml":
        text = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>"
    else:
        fault = "Receiver" if error.status >= 500 else "Sender"
        text = (
            f"<ErrorResponse><Error><Type>{fault}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Response(error.status, document, {"Content-Type": "text/xml", **error.headers})
