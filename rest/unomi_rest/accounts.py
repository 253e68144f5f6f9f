"""
Accounts: who may sign in, from the settings, from a password made at the first start, or made for one run of a server.

Passwords are kept as argon2 hashes only.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from unomi_scheduler import ConfigurationError, Settings

ADMINISTRATOR = "ADMINISTRATOR"
"""May do everything."""
VIEWER = "VIEWER"
"""May look at everything and change nothing."""
ADMIN = "admin"
_ALIASES = {"ROLE_UNOMI_ADMIN": ADMINISTRATOR}
# OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_HASH_FILE = "admin-password-hash"
_PASSWORD_BYTES = 15


@dataclass(frozen=True, slots=True)
class Account:
    """
    One who may sign in, and the roles that come with it.
    """

    name: str
    password_hash: str = field(repr=False)
    roles: frozenset[str]

    def accepts(self, password: str) -> bool:
        """
        Tell whether this is the password; takes some 20 ms on purpose.
        """
        try:
            return _HASHER.verify(self.password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


@dataclass(frozen=True, slots=True)
class Caller:
    """
    One who signed in: the name of the account or token, its roles, and a token's id and end (epoch ms).
    """

    name: str
    roles: frozenset[str]
    token_id: str | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class FirstPassword:
    """
    The password that was made for `admin`, to be shown this once, and where its hash is kept.
    """

    password: str = field(repr=False)
    path: Path


def hash_password(password: str) -> str:
    """
    Return the hash of a password as `password_hash` takes it.
    """
    return _HASHER.hash(password)


def make_account(name: str, password: str, roles: Iterable[str] = (ADMINISTRATOR,)) -> Account:
    """
    Return the account of a user with this password.
    """
    return _account(name, hash_password(password), roles)


def _account(name: str, password_hash: str, roles: Iterable[str]) -> Account:
    return Account(name, password_hash, frozenset(_ALIASES.get(role, role) for role in roles))


def configured_accounts(settings: Settings) -> tuple[Account, ...]:
    """
    Return the accounts that the settings name; none is a possible answer.
    """
    rest = settings.rest
    named = [_account(user.name, user.password_hash.get_secret_value(), user.roles) for user in rest.users]
    if rest.admin_password is not None:
        named.append(make_account(ADMIN, rest.admin_password.get_secret_value()))
    return tuple(named)


def accounts_for(settings: Settings) -> tuple[tuple[Account, ...], FirstPassword | None]:
    """
    Return the accounts to serve with, and the password that had to be made for `admin`, if this start made one.

    Raises:
        ConfigurationError: nobody is configured and others than this machine could reach the server.
    """
    check_sign_in(settings)
    accounts = configured_accounts(settings)
    if accounts:
        return accounts, None
    password_hash, first = _kept_or_made(settings.state_path)
    return (_account(ADMIN, password_hash, (ADMINISTRATOR,)),), first


def check_sign_in(settings: Settings) -> None:
    """
    Check what `accounts_for` would refuse, and make nothing.

    Raises:
        ConfigurationError: nobody is configured and others than this machine could reach the server.
    """
    rest = settings.rest
    if not rest.users and rest.admin_password is None and not is_loopback(rest.host):
        raise ConfigurationError(
            f"rest.host is {rest.host}, which others can reach, and no user is configured: "
            "set rest.admin_password or [[rest.users]], or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """
    Tell whether only this machine can reach an address.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kept_or_made(folder: Path) -> tuple[str, FirstPassword | None]:
    path = folder / _HASH_FILE
    try:
        if path.exists():
            return _read(path), None
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        password_hash = hash_password(password)
        return (password_hash, FirstPassword(password, path)) if _keep(path, password_hash) else (_read(path), None)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot keep the password of {ADMIN} in {path}: {error.strerror}; set state_dir or rest.admin_password"
        ) from error


def _read(path: Path) -> str:
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not text.startswith("$argon2"):
        raise ConfigurationError(f"{path} holds no password hash; delete it, and the next start makes a new password")
    return text


def _keep(path: Path, password_hash: str) -> bool:
    # Written beside and linked, so that another start sees the whole file or none; the first one wins.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(password_hash + "\n")
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
