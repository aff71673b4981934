"""The tokens of nova's service user, `[service_user]`: with them an expired token is still accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nova.conf
from nova import service_auth
from nova.conf.service_token import SERVICE_USER_GROUP

from vimdriver._images.openstack import tokens_of

if TYPE_CHECKING:
    from vimdriver._images.tokens import TokenSource

CONF = nova.conf.CONF


def service_tokens(url: str) -> TokenSource | None:
    """Return the source of the service user's tokens for requests to `url`; None if nova has no such
    user: then an image that is still read when the request's token expires cannot be resumed.
    """
    if not CONF.service_user.send_service_user_token:
        return None
    plugin = service_auth.get_service_auth_plugin(SERVICE_USER_GROUP)
    if plugin is None:  # nova warns about it
        return None
    session = service_auth.get_service_auth_session(SERVICE_USER_GROUP, auth=plugin)
    return tokens_of(session, url)
