"""Client metadata in the words of RFC 7591, OpenID Connect Registration and their kin, to and from our own.

A client has a profile here and no switches of its own, so most of what it may say can only confirm the profile; what
would contradict it is refused, because a client that believes it is bound to a key, and is not, is worse off than one
that was told no. Unknown members are ignored (RFC 7591 section 2).
"""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load

from app.oauth.client_rules import Metadata, scopes_for
from app.oauth.errors import InvalidClientMetadata, InvalidRedirectUri
from app.oauth.profiles import PROFILES, Profile
from app.oauth.scopes import in_order

_OURS = {
    "profile": "kumiai_profile",
    "name_ja": "client_name",
    "name_en": "client_name",
    "scopes": "scope",
    "id_token_alg": "id_token_signed_response_alg",
}
"""Names of our fields where the RFC has others."""


class RegistrationSchema(Schema):
    """What a registration may say, by type alone."""

    class Meta:
        unknown = EXCLUDE

    kumiai_profile = fields.String()
    client_name = fields.String()
    client_name_ja = fields.String(data_key="client_name#ja")
    client_name_en = fields.String(data_key="client_name#en")
    redirect_uris = fields.List(fields.String(), load_default=list)
    token_endpoint_auth_method = fields.String()
    grant_types = fields.List(fields.String())
    response_types = fields.List(fields.String())
    application_type = fields.String()
    scope = fields.String()
    jwks = fields.Dict(keys=fields.String())
    jwks_uri = fields.Raw()
    id_token_signed_response_alg = fields.String(load_default="ES256")
    post_logout_redirect_uris = fields.List(fields.String(), load_default=list)
    backchannel_logout_uri = fields.String()
    dpop_bound_access_tokens = fields.Raw()
    require_pushed_authorization_requests = fields.Raw()
    client_id = fields.String()
    client_secret = fields.String()

    @pre_load
    def _null_is_omitted(self, data: Any, **_: Any) -> Any:
        """RFC 7592 section 2.2: null asks for nothing of that name."""
        return {name: value for name, value in data.items() if value is not None}


def load(body: dict[str, Any]) -> dict[str, Any]:
    """The body's known members. Raises InvalidClientMetadata, InvalidRedirectUri."""
    try:
        said: dict[str, Any] = RegistrationSchema().load(body)
    except ValidationError as error:
        field = str(next(iter(error.messages_dict)))
        raise (InvalidRedirectUri if field == "redirect_uris" else InvalidClientMetadata)(field=field) from None
    if "jwks_uri" in said:  # this server fetches no address that a stranger names
        raise InvalidClientMetadata(field="jwks_uri")
    return said


def profile_of(said: dict[str, Any]) -> str:
    """The profile a registration names in `kumiai_profile`; where it names none, the first of these that fits.

    - `service`: `grant_types` has `client_credentials` and no `authorization_code`;
    - `fapi2`: PAR is required or access tokens are bound by DPoP;
    - `native`: `application_type` is `native`;
    - `spa`: `token_endpoint_auth_method` is `none`;
    - `web`: everything else.

    `till` and `oidc_basic` are had by name only. Raises InvalidClientMetadata.
    """
    if "kumiai_profile" in said:
        if said["kumiai_profile"] not in PROFILES:
            raise InvalidClientMetadata(field="kumiai_profile")
        named: str = said["kumiai_profile"]
        return named
    grant_types = said.get("grant_types", [])
    if "client_credentials" in grant_types and "authorization_code" not in grant_types:
        return "service"
    if said.get("require_pushed_authorization_requests") is True or said.get("dpop_bound_access_tokens") is True:
        return "fapi2"
    if said.get("application_type") == "native":
        return "native"
    return "spa" if said.get("token_endpoint_auth_method") == "none" else "web"


def to_metadata(said: dict[str, Any], *, profile: str, scopes_if_unsaid: frozenset[str]) -> Metadata:
    """What would be registered. Raises InvalidClientMetadata where it contradicts the profile; values are unchecked."""
    _check_agreement(said, PROFILES[profile])
    name = said.get("client_name", "")
    scopes = said["scope"].split() if "scope" in said else scopes_if_unsaid & scopes_for(profile)
    return Metadata(
        name_ja=said.get("client_name_ja", name or said.get("client_name_en", "")),
        name_en=said.get("client_name_en", name or said.get("client_name_ja", "")),
        profile=profile,
        scopes=tuple(scopes),
        redirect_uris=tuple(said["redirect_uris"]),
        jwks=said.get("jwks"),
        post_logout_redirect_uris=tuple(said["post_logout_redirect_uris"]),
        backchannel_logout_uri=said.get("backchannel_logout_uri"),
        id_token_alg=said["id_token_signed_response_alg"],
    )


def in_their_words(error: InvalidClientMetadata) -> InvalidClientMetadata:
    """The same refusal, naming the member of the request."""
    field = str(error.detail["field"])
    return type(error)(field=_OURS.get(field, field))


def to_answer(metadata: Metadata, *, auth_method: str | None = None) -> dict[str, Any]:
    """All that is registered, in the RFC's words (section 3.2.1)."""
    profile = PROFILES[metadata.profile]
    answer: dict[str, Any] = {
        "kumiai_profile": metadata.profile,
        "client_name": metadata.name_ja,
        "client_name#ja": metadata.name_ja,
        "client_name#en": metadata.name_en,
        "redirect_uris": list(metadata.redirect_uris),
        "grant_types": sorted(profile.grant_types),
        "response_types": sorted(profile.response_types),
        "token_endpoint_auth_method": _auth_method(metadata, asked=auth_method),
        "application_type": "native" if metadata.profile == "native" else "web",
        "scope": " ".join(in_order(metadata.scopes)),
        "id_token_signed_response_alg": metadata.id_token_alg,
        "require_pushed_authorization_requests": profile.pushed,
        "dpop_bound_access_tokens": profile.bound,
        "post_logout_redirect_uris": list(metadata.post_logout_redirect_uris),
    }
    if metadata.jwks is not None:
        answer["jwks"] = metadata.jwks
    if metadata.backchannel_logout_uri is not None:
        answer["backchannel_logout_uri"] = metadata.backchannel_logout_uri
    return answer


def _auth_method(metadata: Metadata, *, asked: str | None) -> str:
    if not PROFILES[metadata.profile].confidential:
        return "none"
    if metadata.jwks is not None:
        return "private_key_jwt"
    return asked or "client_secret_basic"  # either way of sending the secret is accepted, whichever was asked


def _check_agreement(said: dict[str, Any], profile: Profile) -> None:
    """Raises InvalidClientMetadata for the first member that says other than the profile."""
    method = said.get("token_endpoint_auth_method")
    with_keys = "jwks" in said
    if method is not None and (method not in profile.auth_methods or (method == "private_key_jwt") != with_keys):
        raise InvalidClientMetadata(field="token_endpoint_auth_method")
    if not profile.grant_types.issuperset(said.get("grant_types", [])):
        raise InvalidClientMetadata(field="grant_types")
    if not profile.response_types.issuperset(said.get("response_types", [])):
        raise InvalidClientMetadata(field="response_types")
    if said.get("application_type", "web") not in ("web", "native"):
        raise InvalidClientMetadata(field="application_type")
    for field, holds in (
        ("dpop_bound_access_tokens", profile.bound),
        ("require_pushed_authorization_requests", profile.pushed),
    ):
        if said.get(field, holds) is not holds:
            raise InvalidClientMetadata(field=field)
