"""Settings of all tests: property tests do not fail because the machine is busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("lab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lab")
