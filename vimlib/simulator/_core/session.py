"""Sessions as values: the user, and the objects that end with the session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from vimlib import vim25

if TYPE_CHECKING:
    from datetime import datetime

    from vimlib.simulator._core.objects import SimObject

Face = Literal["fault", "empty", "missing"]
"""How a property read shows that its session is gone: a NotAuthenticated fault, an answer
without a result, NotAuthenticated inside missingSet."""


@dataclass(eq=False)
class Session:
    """One logged-in client."""

    key: str
    cookie: str = field(repr=False)
    user_name: str
    login_time: datetime
    locale: str
    ip_address: str
    user_agent: str
    full_name: str
    used: float
    """Monotonic second of the last call."""
    last_active: datetime
    calls: int = 0
    owned: list[SimObject] = field(default_factory=list)
    """Views, collectors and such, which end with the session."""

    def info(self) -> Any:
        """Return the session as data."""
        return vim25.UserSession(
            key=self.key,
            userName=self.user_name,
            fullName=self.full_name,
            loginTime=self.login_time,
            lastActiveTime=self.last_active,
            locale=self.locale,
            messageLocale=self.locale,
            extensionSession=False,
            ipAddress=self.ip_address,
            userAgent=self.user_agent,
            callCount=self.calls,
        )
