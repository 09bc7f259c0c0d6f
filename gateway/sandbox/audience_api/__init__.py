"""A fake HTTP audience API of the common kind: lists by id, people by hashed identifiers, errors per record."""

from gateway.sandbox.audience_api.configuration import AudienceApiConfiguration
from gateway.sandbox.audience_api.partner import AudienceApi

__all__ = ["AudienceApi", "AudienceApiConfiguration"]
