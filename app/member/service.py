"""Members: registering, signing in with a password and a mailed code, suspending."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from uuid import UUID

from flask import current_app
from sqlalchemy import select, update

from app import clock, outbox
from app.db import autocommit, session
from app.ids import keyed_hash, new_id, same
from app.issuer import current_issuer
from app.member import codes, passwords, sessions
from app.member.errors import (
    CodeUnusable,
    InvalidCredentials,
    MemberSuspended,
    PasswordUnchanged,
    WrongPassword,
)
from app.member.models import Member
from app.messaging.compose import compose_mail


@dataclass(frozen=True, slots=True)
class SignInStep:
    """Half-way through a sign-in: the password was right, a code is on its way to `masked_email`.

    `password_mark` tells whether the password still is the one that was given.
    """

    member_id: UUID
    password_mark: str
    code_id: UUID
    masked_email: str


def register_member(
    *, email: str, password: str, family_name: str, given_name: str, locale: str = "ja", member_id: UUID | None = None
) -> UUID:
    """Add an active member of this server's issuer; returns its id."""
    member = Member(
        id=member_id or new_id(),
        issuer_id=current_issuer().id,
        email=normal_email(email),
        password_hash=passwords.hash_password(password),
        family_name=family_name,
        given_name=given_name,
        locale=locale,
    )
    session().add(member)
    session().flush()
    return member.id


def authenticate(*, email: str, password: str) -> Member:
    """The member of this address and password. Raises InvalidCredentials; MemberSuspended, to the right password."""
    member = session().scalar(
        select(Member).where(Member.issuer_id == current_issuer().id, Member.email == normal_email(email))
    )
    known = member.password_hash if member is not None and member.status != "closed" else None
    if not passwords.verify_password(password, password_hash=known) or member is None:
        raise InvalidCredentials
    if member.status == "suspended":
        raise MemberSuspended
    if passwords.outdated(member.password_hash):
        _replace_password(member.id, former_hash=member.password_hash, new=password)
    return member


def change_password(member_id: UUID, *, current: str, new: str) -> None:
    """Give an active member a new password, and tell them by mail. `app.oauth.account` ends sessions and tokens.

    A sign-in that has come as far as its code begins again. Raises PasswordRefused, and WrongPassword, also where the
    present password is not the present one any more because another change was faster.
    """
    member = session().get_one(Member, member_id)
    passwords.check_new(new, email=member.email)
    if not passwords.verify_password(current, password_hash=member.password_hash):
        raise WrongPassword
    if passwords.verify_password(new, password_hash=member.password_hash):
        raise PasswordUnchanged
    _set_password(member, new)


def ask_for_reset(email: str) -> UUID:
    """Have a code mailed to this address, if it is an active member's; returns the code's id.

    Who that is, the worker finds out (`send_reset_code`): the same is done here for every address, so neither the
    answer nor its time tells whether it is a member's.
    """
    code_id = new_id()
    asked = {"email": normal_email(email), "code_id": str(code_id)}
    outbox.emit("password_reset", asked, expires_at=clock.now() + codes.LIFE)
    return code_id


def send_reset_code(*, email: str, code_id: UUID) -> None:
    """Mail the code that `ask_for_reset` promised. Does nothing where nobody active has this address."""
    here = (Member.issuer_id == current_issuer().id, Member.email == email, Member.status == "active")
    member = session().scalar(select(Member).where(*here))
    if member is not None:
        _mail_code(member, codes.issue(member.id, purpose="password_reset", code_id=code_id), "password_reset")


def reset_password(*, code_id: UUID, digits: str, new: str) -> UUID:
    """Give the member that the code was mailed to a new password, and tell them; returns their id.

    `app.oauth.account` ends sessions and tokens. Raises WrongCode, CodeUnusable, MemberSuspended, and PasswordRefused,
    after which the code may still be used.
    """
    member = _active(codes.redeem(code_id, purpose="password_reset", digits=digits))
    passwords.check_new(new, email=member.email)
    _set_password(member, new)
    return member.id


def send_code(member_id: UUID, *, password_mark: str) -> SignInStep:
    """Mail a code to a member whose password was right; a former one stops working.

    Raises MemberSuspended; CodeUnusable where that password is not theirs any more.
    """
    member = _active(member_id)
    if not same(mark_of_password(member).encode(), password_mark.encode()):
        raise CodeUnusable
    return _send_code(member)


def mark_of_password(member: Member) -> str:
    """What changes with the password, and tells nothing about it: a browser may carry it to the next step."""
    key: bytes = current_app.extensions["kumiai.settings"].secret_key
    return keyed_hash(key, purpose="sign_in.password", value=member.password_hash).hex()


def finish_sign_in(*, code_id: UUID, digits: str) -> UUID:
    """Redeem the mailed code; returns the member who may now have a session.

    Raises WrongCode, CodeUnusable, and MemberSuspended for somebody suspended since the code was sent.
    """
    return _active(codes.redeem(code_id, purpose="sign_in", digits=digits)).id


def suspend(member_id: UUID) -> None:
    """Let nobody sign in as this member, and end every session. `app.oauth.suspension` ends the tokens too."""
    living = (Member.id == member_id, Member.status != "closed")
    session().execute(update(Member).where(*living).values(status="suspended"))
    sessions.revoke_all_sessions(member_id)


def close(member_id: UUID) -> None:
    """Let nobody sign in as this member ever again, and end every session."""
    session().execute(update(Member).where(Member.id == member_id).values(status="closed"))
    sessions.revoke_all_sessions(member_id)


def normal_email(email: str) -> str:
    """The form an address is stored and looked up in: half-width, without blanks around it, lower case."""
    return unicodedata.normalize("NFKC", email).strip().lower()


def masked(email: str) -> str:
    """`k•••••@example.ac.jp`: enough to recognise one's own address. The dots do not tell its length."""
    name, _, host = email.rpartition("@")
    return f"{name[:1]}•••••@{host}"


def _set_password(member: Member, new: str) -> None:
    """Raises WrongPassword where another change was faster."""
    if not _replace_password(member.id, former_hash=member.password_hash, new=new):
        raise WrongPassword
    codes.forget(member.id)
    mail = compose_mail(
        to=member.email,
        message="password_changed",
        locale=member.locale,
        family_name=member.family_name,
        given_name=member.given_name,
    )
    outbox.emit("mail", mail)


def _replace_password(member_id: UUID, *, former_hash: str, new: str) -> bool:
    """Whether the member is active and still had that hash: of two changes at the same moment one counts."""
    same_as_before = (Member.id == member_id, Member.password_hash == former_hash, Member.status == "active")
    statement = update(Member).where(*same_as_before).values(password_hash=passwords.hash_password(new))
    return session().scalar(statement.returning(Member.id)) is not None


def _active(member_id: UUID) -> Member:
    # locked, so that a suspension comes before it, or after it and ends what it began
    member = session().get(Member, member_id, with_for_update={"key_share": True})
    if member is None:
        raise CodeUnusable
    if member.status != "active":
        raise MemberSuspended
    return member


def _send_code(member: Member) -> SignInStep:
    code = codes.issue(member.id, purpose="sign_in")
    _mail_code(member, code, "sign_in_code")
    return SignInStep(
        member_id=member.id,
        password_mark=mark_of_password(member),
        code_id=code.id,
        masked_email=masked(member.email),
    )


def _mail_code(member: Member, code: codes.IssuedCode, message: str) -> None:
    mail = compose_mail(
        to=member.email,
        message=message,
        locale=member.locale,
        family_name=member.family_name,
        given_name=member.given_name,
        digits=code.digits,
        minutes=codes.LIFE.seconds // 60,
    )
    outbox.emit("mail", mail, expires_at=code.expires_at)


def family_name_of(member_id: UUID) -> str:
    """A member's family name: what staff compares with the person before them."""
    with autocommit().connect() as connection:
        name = connection.scalar(select(Member.family_name).where(Member.id == member_id))
    assert name is not None
    return name


def name_of(member_id: UUID) -> str:
    """A member's name, family name first."""
    with autocommit().connect() as connection:
        row = connection.execute(select(Member.family_name, Member.given_name).where(Member.id == member_id)).one()
    return f"{row.family_name} {row.given_name}"
