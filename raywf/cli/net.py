"""Ports of this machine and others: does somebody listen, and which is free."""

from __future__ import annotations

import socket


def answers(address: str, timeout_s: float = 2.0) -> bool:
    """Whether something listens at ``host:port``."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses now."""
    with socket.socket() as listening:
        listening.bind((host, 0))
        return int(listening.getsockname()[1])
