"""The Matrix client-server API (spec v1.19): a file for each OpenAPI file of the specification."""
