"""Refusals of the webhook API."""

from app.errors import DomainError


class TooManyEndpoints(DomainError):
    """The client has as many endpoints as one may have."""

    code, status = "webhook_too_many_endpoints", 409


class UrlRefused(DomainError):
    """The server does not send to such an address: not https, or inside a network that is not the public one."""

    code, status = "webhook_url_refused", 422


class EndpointDisabled(DomainError):
    """Nothing is sent to it until it is made active again."""

    code, status = "webhook_endpoint_disabled", 409


class NotConnectable(DomainError):
    """A service hears for apps: this client is not of that kind."""

    code, status = "webhook_not_connectable", 422


class PayloadGone(DomainError):
    """It was not sent, because the permission it needed ended, and what it said is not kept."""

    code, status = "webhook_payload_gone", 409
