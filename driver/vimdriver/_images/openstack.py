"""The endpoint and token of Glance, from `OS_CLOUD` and clouds.yaml.

openstacksdk and keystoneauth1 do the work in a thread, since both block. They come with the extra
`openstack` and are imported on first use.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver.errors import SourceLoginError, SourceUnreachableError, SourceUntrustedError
from vimlib._distribution import missing_extra
from vimlib._repr import robust
from vimlib._secret import forgetting
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimdriver._images.tokens import TokenSource

SILENCE: Final = 60.0
"""Seconds without a response from Keystone if clouds.yaml has no `api_timeout`: its client has no
limit."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The properties of a cloud that `Glance` needs."""

    glance_url: str
    token: TokenSource
    ca: str | None
    """PEM file that clouds.yaml names; None for the system's authorities."""

    @robust
    def __repr__(self) -> str:
        return f"Cloud({self.glance_url!r})"


async def open_cloud(name: str) -> Cloud:
    """Log in to the cloud `name` of clouds.yaml and look up its image endpoint.

    Cancelling returns at once; a running request to Keystone completes in its thread, and its
    result is discarded.

    Raises:
        MissingExtraError: openstacksdk is not installed.
        UsageError: clouds.yaml has no such cloud, or its entry is invalid or disables verification.
        SourceLoginError: Keystone refuses the user or the password.
        SourceUnreachableError: Keystone cannot be reached, does not answer, or lists no image
            service.
    """
    with forgetting():  # sessions and regions hold the password
        session, url, ca = await asyncio.to_thread(_connect, name)
    return Cloud(url, tokens_of(session, url), ca)


def tokens_of(session: Any, url: str) -> TokenSource:
    """Return the source of the tokens of a session of keystoneauth1, which has a user; `url` is
    where its errors say it failed.
    """

    async def token(fresh: bool) -> str:
        return await asyncio.to_thread(_token, session, url, fresh)

    return token


def _connect(name: str) -> tuple[Any, str, str | None]:
    try:
        import keystoneauth1.exceptions as failures
        import openstack.config
        import openstack.exceptions
    except ImportError:
        raise missing_extra("OS_CLOUD", package="openstacksdk", extra="openstack") from None
    try:
        region = openstack.config.OpenStackConfig().get_one(cloud=name)
        verify = region.get_requests_verify_args()[0]
    except openstack.exceptions.ConfigException as error:
        said = str(error).rstrip(". ")
        raise UsageError(f"clouds.yaml: {said}", hint="Check OS_CLOUD and clouds.yaml.") from None
    if verify is False:
        raise UsageError(
            f"cloud {name!r} must verify certificates, but sets `verify: false`",
            hint="Give its CA as `cacert` instead.",
        )
    failure: SourceUnreachableError | None = None
    try:
        session = region.get_session()
        if session.timeout is None:
            session.timeout = SILENCE
        url = region.get_session_endpoint("image")
    except failures.ClientException as error:
        failure = _failed(name, error)
    if failure is not None:
        raise failure
    if not url:
        raise SourceUnreachableError(
            host=name, reason="the service catalogue has no image service", retryable=False
        )
    return session, str(url), verify if isinstance(verify, str) else None


def _token(session: Any, url: str, fresh: bool) -> str:
    import keystoneauth1.exceptions as failures

    try:
        if fresh:
            session.invalidate()
        return str(session.get_token())
    except failures.ClientException as error:
        failure = _failed(url, error)
    raise failure


def _failed(where: str, error: Exception) -> SourceUnreachableError:
    """Translate keystoneauth's errors.

    Their text contains URLs and statuses, but not request bodies, which hold the password. The
    bodies are in their causes, so the caller raises the result outside of its `except`.
    """
    import keystoneauth1.exceptions as failures

    if isinstance(error, failures.Unauthorized):
        return SourceLoginError(host=where, reason=str(error))
    if isinstance(error, failures.SSLError):
        return SourceUntrustedError(host=where, reason=str(error))
    return SourceUnreachableError(host=where, reason=str(error), retryable=False)
