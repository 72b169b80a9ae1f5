"""The REST façade of the native protocol: parse, call one action or view, render."""
