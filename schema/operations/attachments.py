"""Operations on files. The media repository serves them."""

from schema.operations.operation import Operation
from schema.wire.errors import ErrorCode
from schema.wire.objects import Attachment
from schema.wire.paths import AttachmentPath, NoPath
from schema.wire.requests import NewAttachment, NoBody, PictureSize

_TAG = "Attachments"

UPLOAD_ATTACHMENT = Operation(
    name="uploadAttachment",
    tag=_TAG,
    summary="Upload a file, to be named in messages: the part `file` of multipart/form-data, or "
    "the body itself.",
    method="POST",
    path="/api/attachments",
    params=NoPath,
    query=NewAttachment,
    body=NoBody,
    answers={201: Attachment},
    errors=(ErrorCode.FORBIDDEN, ErrorCode.TOO_LARGE),
    takes_file=True,
)
GET_ATTACHMENT = Operation(
    name="getAttachment",
    tag=_TAG,
    summary="The file, or the part of it that `Range` asks for; this is the `url` of an "
    "attachment. With `width` and `height`: a thumbnail of a picture. Clients follow redirects.",
    method="GET",
    path="/api/attachments/{server_name}/{media_id}/{filename}",
    params=AttachmentPath,
    query=PictureSize,
    body=NoBody,
    answers={200: bytes},
    errors=(ErrorCode.NOT_FOUND,),
)

OPERATIONS = (UPLOAD_ATTACHMENT, GET_ATTACHMENT)
