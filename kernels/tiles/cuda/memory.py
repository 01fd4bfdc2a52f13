"""What is said where neither `max_bytes` nor the device has enough."""


def refuse(needed, max_bytes, room, what):
    """Raise why `needed` bytes cannot be had, `room` being what is left of both."""
    if needed > max_bytes:
        raise ValueError(f"max_bytes must be at least {needed} {what}, got {max_bytes}")
    raise ValueError(f"the device must have {needed} bytes free {what}, got {room}")
