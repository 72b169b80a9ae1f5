"""Every frame and body of the native protocol, as pydantic models.

The models are the protocol: requests and client frames are parsed with them, the documents in
`docs/` are made from them, and tests hold what the server renders against them.

Which requests refuse fields they do not know
    A request that has an optional field whose loss would change what is stored (`reply_to` of a
    message, `name` of a room, …) is an `ExactRequest`: a misspelt field is INVALID_INPUT, and the
    error names it. Every other request ignores fields it does not know, so that a newer client
    works with an older server: there a misspelt field is a missing one, and refused as such.
    Unknown parameters of a query are always ignored.
"""
