"""State resolution: the room's state where branches of its history meet. Pure.

`resolve.resolve` is the entry; each step of the spec is a file beside it.
"""
