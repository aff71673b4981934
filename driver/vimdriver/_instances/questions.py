"""Questions that a machine asks and stands still for until they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimdriver._instances.machine import claim, look
from vimdriver._verbs import Host, Plan, Run, Step, query, returns, unblocking_verb
from vimdriver.errors import InstanceStateError
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimlib import vim25
    from vimlib._collector import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A pending question."""

    id: str
    text: str
    choices: dict[str, str]
    """Key to label, in the host's order."""
    default: str
    """Key of the host's default; "" if it has none."""

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl instance question --json` prints."""
        return {name: getattr(self, name) for name in self.__slots__}


def _question(info: vim25.VirtualMachineQuestionInfo) -> Question:
    choices = {one.key: one.label for one in info.choice.choiceInfo or []}
    index = info.choice.defaultIndex
    keys = list(choices)
    return Question(
        id=info.id,
        text=info.text,
        choices=choices,
        default=keys[index] if index is not None and 0 <= index < len(keys) else "",
    )


def _pending(row: Row[vim25.VirtualMachine]) -> Question | None:
    info = row.known("runtime.question")
    return None if info is None else _question(info)


@query
async def question(host: Host, ref: str) -> Question | None:
    """Return the pending question of a machine, None if there is none. Cancelling loses nothing.

    Raises `NotFoundError`.
    """
    return _pending(await look(host.client, ref, "runtime.question"))


@unblocking_verb
async def answer(host: Host, ref: str, choice: str, *, foreign: bool = False) -> Plan[None]:
    """Answer the pending question of a machine (`AnswerVM`).

    Cancelling waits for the call.

    Args:
        host: The host.
        ref: uuid, name or moref's value.
        choice: Key or label of a choice.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It asks nothing.
        UsageError: It offers no such choice; names those that it offers.
    """
    row = await claim(host, ref, "runtime.question", foreign=foreign)
    vm, asked = row.obj, _pending(row)
    if asked is None:
        raise InstanceStateError(name=ref, state="without a question", needed="a pending question")
    by_label = {label.casefold(): key for key, label in asked.choices.items()}
    key = choice if choice in asked.choices else by_label.get(choice.casefold())
    if key is None:
        offered = ", ".join(f"{key} ({printable(label)})" for key, label in asked.choices.items())
        raise UsageError(
            f"choice must be one that the machine offers, got {printable(choice, 80)!r}",
            hint=f"It offers: {offered}.",
            field="choice",
        )
    chosen = key

    async def answered(run: Run) -> bool | None:
        row = await run.host.client.get(vm, "runtime.question")
        now = row.known("runtime.question")
        return (now is None or now.id != asked.id) or None

    step = Step[Any](
        title=f"answer {asked.choices[chosen]} (AnswerVM)",
        call=lambda run: vm.AnswerVM(asked.id, chosen),
        probe=answered,
        of=lambda run: vm,
    )
    return Plan(f"answer {ref}", (step,), returns(None))
