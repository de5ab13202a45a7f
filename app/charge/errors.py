"""Why a charge is refused."""

from __future__ import annotations

from app.errors import DomainError


class ChargesClosed(DomainError):
    """The co-op takes no charges by card or at stores."""

    code, status = "charges_closed", 403


class MethodNotOffered(DomainError):
    """This gateway has no cards, or not this chain."""

    code, status = "charge_method_not_offered", 422


class ChargeLimitExceeded(DomainError):
    """`limit`: step_yen, min_yen, max_yen, card_max_per_day_yen, card_max_per_month_yen, new_card_max_per_day_yen."""

    code, status = "charge_limit_exceeded", 422


class ChargeUnknown(DomainError):
    code, status = "charge_unknown", 404


class ChargeLinkUnknown(DomainError):
    """It was never made, has been ended, or has run out."""

    code, status = "charge_link_unknown", 404


class ChargeLinksTooMany(DomainError):
    """One of their links must end before another is made."""

    code, status = "charge_links_too_many", 409


class ReceiverNotChargeable(DomainError):
    """The wallet of somebody else takes nothing now, or not so much. Which of these is theirs to know."""

    code, status = "receiver_not_chargeable", 409


class ChargeNotOpen(DomainError):
    """It is paid, or over."""

    code, status = "charge_not_open", 409


class IdentityCheckFailed(DomainError):
    """The birthday is another. The try is counted, so it stays."""

    code, status = "identity_check_failed", 403
    keeps_changes = True


class IdentityUnknown(DomainError):
    """The issuer asks for the birthday, and nobody has told it."""

    code, status = "identity_unknown", 409


class GatewayAway(DomainError):
    """The gateway did not answer. The same request again goes on with the same order."""

    code, status = "gateway_unavailable", 503

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class EventNotAccepted(DomainError):
    """What came to the webhook address is not from the gateway."""

    code, status = "event_refused", 400


class SuspenseUnknown(DomainError):
    code, status = "suspense_unknown", 404


class SuspenseOver(DomainError):
    """It was credited or given back before."""

    code, status = "suspense_over", 409


class WhoseSuspense(DomainError):
    """No order says whose it is: name a member and a money."""

    code, status = "suspense_of_nobody", 422
