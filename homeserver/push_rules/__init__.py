"""Push rules: which events notify whom, and how (C-S API v1.19 "Push Rules"). Pure."""
