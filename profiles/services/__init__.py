"""Writes to people: all of them go through ProfileService."""

from .profile_service import ProfileService, profile_service

__all__ = ["ProfileService", "profile_service"]
