"""What tests share: people, rooms, strategies.

Importing it sets how hypothesis runs: how fast a machine is, is nothing that a test asserts.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "foyer", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("foyer")
