"""Examples of every command, for its ``--help``; a test runs them all."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "up": ("tubegrader up", "tubegrader up --detach --json"),
    "down": ("tubegrader down",),
    "open": ("tubegrader open", "tubegrader open jobs --url", "tubegrader open @somechannel"),
    "status": ("tubegrader status", "tubegrader status --watch", "tubegrader status --json"),
    "digest": ("tubegrader digest", "tubegrader digest --json"),
    "doctor": ("tubegrader doctor", "tubegrader doctor --json"),
    "migrate": ("tubegrader migrate",),
    "sql": (
        "tubegrader sql",
        "tubegrader sql -c 'TABLE model_comparison' --csv",
        "tubegrader sql -c 'SELECT count(*) FROM scored_videos' --json",
    ),
    "demo": ("tubegrader demo", "tubegrader demo --home .small --channels 20 --videos 400"),
    "emulator": (
        "tubegrader emulator",
        "tubegrader emulator --port 0 --seed 7 --videos 200 --json",
    ),
    "channels list": ("tubegrader channels list", "tubegrader channels list --tag mine --json"),
    "channels add": (
        "tubegrader channels add @somechannel --tag mine",
        "tubegrader channels add --from subscriptions.csv",
        "tubegrader channels list --json | tubegrader channels add -",
    ),
    "channels show": ("tubegrader channels show @somechannel",),
    "channels tag add": ("tubegrader channels tag add @somechannel --tag mine --tag music",),
    "channels tag remove": ("tubegrader channels tag remove @somechannel --tag music",),
    "channels pause": ("tubegrader channels pause @somechannel",),
    "channels resume": ("tubegrader channels resume @somechannel",),
    "channels forget": (
        "tubegrader channels forget @otherchannel --dry-run",
        "tubegrader channels forget @otherchannel --yes",
    ),
    "channels crawl": (
        "tubegrader channels crawl @somechannel",
        "tubegrader channels crawl --no-wait --json",
    ),
    "channels completeness": (
        "tubegrader channels completeness",
        "tubegrader channels completeness --channel @somechannel --since 2026-10-01",
    ),
    "videos list": (
        "tubegrader videos list --order underestimated --limit 10",
        "tubegrader videos list --channel @somechannel --json",
    ),
    "videos show": ("tubegrader videos show 1QrS0mVid3o",),
    "quota show": (
        "tubegrader quota",
        "tubegrader quota show --days 30",
        "tubegrader quota --watch",
    ),
    "quota plan": (
        "tubegrader quota plan",
        "tubegrader quota plan --channels 200 --videos 10000 --uploads-per-day 60",
        "tubegrader quota plan --show-policy",
    ),
    "audio list": ("tubegrader audio list",),
    "audio add": ("tubegrader audio add @somechannel --seconds 60 --videos 5",),
    "audio refetch": ("tubegrader audio refetch dQw4w9WgXcQ --dry-run",),
    "audio remove": (
        "tubegrader audio remove @somechannel --dry-run",
        "tubegrader audio remove @somechannel --yes",
    ),
    "audio status": ("tubegrader audio status",),
    "audio label": (
        "tubegrader audio label dQw4w9WgXcQ en",
        "tubegrader audio label --show dQw4w9WgXcQ",
        "tubegrader audio label --conflicts --json",
    ),
    "audio classify": (
        "tubegrader audio classify talk.mp3",
        "tubegrader audio classify talk.mp3 --segments --json",
    ),
    "approvals list": ("tubegrader approvals list",),
    "approvals add": (
        "tubegrader approvals add YT-2026-0117 --scope statistics --expires 2027-12-31",
    ),
    "approvals revoke": ("tubegrader approvals revoke YT-2026-0117 --yes",),
    "data import": ("tubegrader data import ./recorded --report refused.csv",),
    "data export": (
        "tubegrader data export ./july --since 2026-07-01",
        "tubegrader data export ./counts --format csv --what videos,snapshots",
    ),
    "data purge": ("tubegrader data purge", "tubegrader data purge --kind scores --yes"),
    "data catalog": (
        "tubegrader data catalog > docs/querying/catalog.md",
        "tubegrader data catalog --json",
    ),
    "models list": ("tubegrader models list", "tubegrader models list --all --json"),
    "models show": (
        "tubegrader models show champion",
        "tubegrader models show +thumbnail --card",
    ),
    "models train": (
        "tubegrader models train --label lifetime --threshold 1000",
        "tubegrader models train speech --no-wait",
    ),
    "models score": ("tubegrader models score --plan", "tubegrader models score"),
    "models compare": ("tubegrader models compare", "tubegrader models compare --json"),
    "models retrain": (
        "tubegrader models retrain",
        "tubegrader models retrain speech --no-wait --json",
    ),
    "models drift": ("tubegrader models drift", "tubegrader models drift --now --json"),
    "models report": ("tubegrader models report --output report.html",),
    "models promote": (
        'tubegrader models promote +thumbnail --why "graded better" --dry-run',
        'tubegrader models promote +thumbnail --why "graded better"',
    ),
    "models rollback": (
        "tubegrader models rollback --dry-run",
        'tubegrader models rollback --why "it grades worse"',
    ),
    "thumbnails grade": (
        "tubegrader thumbnails grade one.png two.png --channel @somechannel",
        "tubegrader thumbnails grade one.png --subscribers 20000 --json",
    ),
    "thumbnails growth": ("tubegrader thumbnails growth --threshold 1000",),
    "thumbnails swaps": ("tubegrader thumbnails swaps",),
    "datasets list": ("tubegrader datasets list",),
    "datasets show": ("tubegrader datasets show newest",),
    "datasets diff": ("tubegrader datasets diff 5e1cf00d newest",),
    "datasets verify": ("tubegrader datasets verify",),
    "datasets features": ("tubegrader datasets features",),
    "backups create": (
        "tubegrader backups create --at ./backups --dry-run",
        "tubegrader backups create --at ./backups",
    ),
    "backups list": ("tubegrader backups list --at ./backups",),
    "backups verify": (
        "tubegrader backups verify --at ./backups",
        "tubegrader backups verify --at ./backups --all --sample 0.1",
    ),
    "backups prune": (
        "tubegrader backups prune --at ./backups --daily 7 --weekly 3 --dry-run",
        "tubegrader backups prune --at ./backups --keep 2 --yes",
    ),
    "backups restore": (
        "tubegrader --home ~/restored backups restore --at ./backups --dry-run",
        "tubegrader --home ~/restored backups restore newest --at ./backups --yes",
    ),
    "jobs list": (
        "tubegrader jobs list",
        "tubegrader jobs list --state failed --kind crawl --json",
    ),
    "jobs show": ("tubegrader jobs show 3f2a91c0", "tubegrader jobs show 3f2a91c0 --watch"),
    "jobs watch": ("tubegrader jobs watch 3f2a91c0",),
    "jobs cancel": ("tubegrader jobs cancel 7be01d22",),
    "jobs pause": ("tubegrader jobs pause 9c41aa07",),
    "jobs resume": ("tubegrader jobs resume 9c41aa07",),
    "jobs retry": (
        "tubegrader jobs retry 7be01d22",
        "tubegrader jobs retry --failed --reason quotaExceeded --dry-run",
        "tubegrader jobs retry --items --kind video.thumbnail --yes",
    ),
    "schedules list": ("tubegrader schedules list",),
    "schedules add": (
        'tubegrader schedules add morning --kind crawl --cron "0 6 * * MON-FRI"',
        "tubegrader schedules add often --kind crawl --every 6h --channel @somechannel",
    ),
    "schedules next": ("tubegrader schedules next morning -n 10",),
    "schedules pause": ('tubegrader schedules pause morning --reason "moving the disk"',),
    "schedules resume": ("tubegrader schedules resume morning",),
    "schedules run": ("tubegrader schedules run morning",),
    "schedules remove": (
        "tubegrader schedules remove morning --dry-run",
        "tubegrader schedules remove morning --yes",
    ),
    "work items": ("tubegrader work items",),
    "work blockers": ("tubegrader work blockers --json",),
    "work pause": (
        'tubegrader work pause --reason "moving the disk"',
        "tubegrader work pause --queue media",
    ),
    "work resume": ("tubegrader work resume", "tubegrader work resume --queue media"),
    "tokens list": ("tubegrader tokens list",),
    "tokens create": (
        "tubegrader tokens create ci",
        "tubegrader tokens create anna --scope operate --expires 90d",
    ),
    "tokens revoke": ("tubegrader tokens revoke anna", "tubegrader tokens revoke ci --forget"),
    "breakers list": ("tubegrader breakers",),
    "breakers reset": ("tubegrader breakers reset data-api",),
    "notifications list": ("tubegrader notifications list",),
    "notifications test": ("tubegrader notifications test",),
}


def epilog(command: str) -> str | None:
    """Return the examples of a command, such as ``channels add``, as the end of its help."""
    lines = EXAMPLES.get(command)
    return None if lines is None else "\n".join(["\b", "Examples:", *(f"  {x}" for x in lines)])
