"""The grammar of the command line: a noun and a verb; the words of before lead to the same.

Few verbs stand alone, which are about all of it: ``up``, ``status``, ``sql``.
"""

from typing import Any

from typer.core import TyperGroup

from services.cli.examples import epilog

PANELS = COLLECT, LEARN, RUN, TRY = (
    "Collect",
    "Learn and compare",
    "Run the stack",
    "Try it offline",
)
"""Headings of the help, in order."""
RENAMED = {
    "crawl": "channels crawl",
    "completeness": "channels completeness",
    "plan": "quota plan",
    "import": "data import",
    "export": "data export",
    "purge": "data purge",
    "label": "audio label",
    "language": "audio classify",
    "train": "models train",
    "score": "models score",
    "compare": "models compare",
    "retrain": "models retrain",
    "drift": "models drift",
    "report": "models report",
    "grade": "thumbnails grade",
    "growth": "thumbnails growth",
    "swaps": "thumbnails swaps",
    "schedule": "schedules",
    "schedule run-now": "schedules run",
    "jobs items": "work items",
    "pause": "work pause",
    "resume": "work resume",
    "blockers": "work blockers",
    "holdups": "work blockers",
    "notify": "notifications",
    "backup": "backups",
}
"""What used to be typed, and what does the same now; hidden, and not to be taken away."""
_WHOLE = 1_000
"""Characters of a first sentence: whatever is written."""
_LEAST = 12
"""Characters that say something."""
_UNSAID = {"channels": "list", "quota": "show", "breakers": "list"}
"""The verb that is meant where a noun stands alone, as it did before it had verbs."""


class Words(TyperGroup):
    """A group of commands that knows the words of before, and examples of each command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is meant; its help has examples."""
        is_root = ctx.parent is None
        if is_root:
            args = renamed(args)
        if is_root and not ctx.resilient_parsing:
            args = _with_verb(args)
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name is not None:
            nouns = [] if is_root else [*_nouns(ctx), ctx.info_name]
            command.epilog = epilog(" ".join([*nouns, name]))
        return name, command, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by what they are about."""
        found = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        shown = [(name, command) for name, command in found if not command.hidden]
        longest = max((len(name) for name, _ in shown), default=0)
        rows: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for name, command in sorted(shown, key=lambda each: not isinstance(each[1], TyperGroup)):
            panel: str | None = getattr(command, "rich_help_panel", None)
            about = _in_short(command, formatter.width - 6 - longest)
            rows.setdefault(panel or "Commands", []).append((name.ljust(longest), about))
        for panel, of_panel in rows.items():
            if of_panel:
                with formatter.section(panel):
                    formatter.write_dl(of_panel)


def _in_short(command: Any, limit: int) -> str:
    """Return what a command does, as much of it as fits and makes sense."""
    whole = str(command.get_short_help_str(_WHOLE))
    if len(whole) <= limit:
        return whole
    ends = [at for at, c in enumerate(whole[:limit]) if c in ",;:" and at >= _LEAST]
    return f"{whole[: ends[-1]]}." if ends else str(command.get_short_help_str(limit))


def renamed(args: list[str]) -> list[str]:
    """Return a command's words as they are now."""
    for n in (2, 1):
        now = RENAMED.get(" ".join(args[:n]))
        if len(args) >= n and now is not None:
            return [*now.split(), *args[n:]]
    return args


def _with_verb(args: list[str]) -> list[str]:
    noun, rest = args[0], args[1:]
    is_alone = not rest or (rest[0].startswith("-") and rest[0] != "--help")
    return [noun, _UNSAID[noun], *rest] if noun in _UNSAID and is_alone else args


def _nouns(ctx: Any) -> list[str]:
    """Return the groups above a context, without the program."""
    above: list[str] = []
    while (ctx := ctx.parent) is not None and ctx.parent is not None:
        above.insert(0, ctx.info_name)
    return above
