"""Clients that others wrote, against a real server: each play is performed with several of them."""
