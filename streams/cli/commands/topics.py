"""`streams topics …`: what is declared, what exists, and what lies in it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streams.cli.io.options import DryRunOption, OutputFormat, OutputOption

app = typer.Typer(help="Topics: list, plan, apply, tail.", no_args_is_help=True)


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="topics")


@app.command("list")
def list_topics(output: OutputOption = OutputFormat.TEXT) -> None:
    """List the declared topics, and whether the cluster has them."""
    from streams.cli.io.output import print_rows
    from streams.cli.log import open_log
    from topics.admin import describe

    log = open_log()
    topics = log.topics()
    existing = describe(log.kafka, [topic.name for topic in topics])
    rows: list[dict[str, Any]] = [
        {
            "name": topic.name,
            "kind": topic.kind,
            "exists": topic.name in existing,
            "partitions": existing[topic.name].partitions if topic.name in existing else None,
            "key": topic.key,
            "cleanup": topic.cleanup,
            "retention_ms": topic.retention_ms,
            "description": topic.description,
        }
        for topic in topics
    ]
    print_rows(rows, ("name", "kind", "exists", "partitions", "key", "cleanup", "description"), output, empty="")


@app.command("plan")
def plan_topics(output: OutputOption = OutputFormat.TEXT) -> None:
    """Show what `topics apply` would change; exit 1 if it would be refused."""
    from streams.cli.io.output import print_json
    from streams.cli.log import open_log

    plan = _plan(open_log())
    if output is OutputFormat.JSON:
        print_json(plan)
    else:
        print(plan.render())
    raise typer.Exit(1 if plan.refused else 0)


@app.command("apply")
def apply_topics(*, dry_run: DryRunOption = False) -> None:
    """Create missing topics and correct settings; never shrinks, never moves keys."""
    from streams.cli.log import open_log
    from topics.admin import apply

    log = open_log()
    plan = _plan(log)
    print(plan.render())
    if not dry_run:
        apply(log.kafka, plan)


@app.command("tail")
def tail_topic(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="the topic's name, without the prefix")],
    start: Annotated[
        str | None, typer.Option("--from", help="earliest, latest, an offset or a time; inclusive")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="latest, an offset or a time; exclusive")] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="only records with this key")] = None,
    type: Annotated[str | None, typer.Option("--type", "-t", help="only events of this type")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="at most so many")] = None,
    output: OutputOption = OutputFormat.TEXT,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on with what comes (default after --from latest)")
    ] = False,
) -> None:
    """Print what lies in a topic, decoded; without --from the last 20 events."""
    from streams.cli.tail import Wish, tail

    tail(topic, Wish(start, end, key, type, limit, follow or (start == "latest" and end is None)), output)


@app.command("acl")
def print_acls(
    role: Annotated[str, typer.Option("--role", help="gateway, worker or admin")],
    principal: Annotated[
        str | None, typer.Option("--principal", help="who gets the rights; User:ROLE when left out")
    ] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Print the least ACLs that a kind of process needs, as calls of Kafka's tool `kafka-acls`."""
    from dataclasses import asdict

    from streams.cli.io.output import print_json
    from streams.cli.log import open_log
    from topics.acls import ROLES, least

    chosen = next((known for known in ROLES if known == role), None)
    if chosen is None:
        raise typer.BadParameter(f"{role!r} is not one of {', '.join(ROLES)}", param_hint="--role")
    log = open_log()
    acls = least(chosen, log.settings.topic_prefix, [topic.name for topic in log.catalog.topics.values()])
    who = principal or f"User:{role}"
    if output is OutputFormat.JSON:
        print_json([{"principal": who, **asdict(acl)} for acl in acls])
        return
    for acl in acls:
        print(acl.command(who if ":" in who else f"User:{who}"))


def _plan(log: Any) -> Any:
    from topics.admin import describe, plan

    topics = log.topics()
    current = describe(log.kafka, [topic.name for topic in topics])
    return plan(current, topics, partitions=log.settings.partitions, replication_factor=log.settings.replication_factor)
