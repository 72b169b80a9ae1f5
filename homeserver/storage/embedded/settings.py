"""How the embedded Postgres is set up: for a chat server on a small machine, durable."""

from collections.abc import Mapping
from types import MappingProxyType

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        # No TCP. Who may reach the socket's directory may connect; that is us.
        "listen_addresses": "",
        "max_connections": "100",
        "max_wal_senders": "2",
        "max_logical_replication_workers": "0",
        "max_worker_processes": "4",
        "max_parallel_workers_per_gather": "0",  # two cores: the other one has clients waiting
        "jit": "off",
        "io_workers": "2",
        "shared_buffers": "128MB",
        "effective_cache_size": "512MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "random_page_cost": "1.1",
        "effective_io_concurrency": "16",
        # Durability is Postgres' default: what is committed survives the power going away.
        "wal_compression": "pglz",
        "max_wal_size": "1GB",
        "min_wal_size": "80MB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "autovacuum_naptime": "30s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.05",
        # Connections that nobody reads from any more do not keep running their statement.
        "client_connection_check_interval": "10s",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgres-%Y%m%d-%H%M%S.log",
        "log_rotation_size": "4MB",
        "log_rotation_age": "1d",
        "log_line_prefix": "%m [%p] ",
        "log_checkpoints": "off",
        "log_lock_waits": "on",
        "log_min_duration_statement": "2s",
        # Parameters are what people write to each other.
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_error_verbosity": "terse",  # a DETAIL quotes rows
    }
)
"""Given on the command line, so nothing is written into the cluster and an update changes them."""


def as_arguments(settings: Mapping[str, str]) -> list[str]:
    """Command line arguments for `postgres`, the given settings over the defaults."""
    return [
        argument
        for name, value in {**DEFAULTS, **settings}.items()
        for argument in ("-c", f"{name}={value}")
    ]
