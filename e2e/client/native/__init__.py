"""Foyer's own protocol under a session: REST, one WebSocket, and what their frames mean.

Source: docs/E2EE.md, "Native clients".
"""
