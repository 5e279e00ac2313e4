"""NCRONTAB schedules: `{second} {minute} {hour} {day} {month} {weekday}`, or five fields without seconds. UTC."""

from __future__ import annotations

from datetime import datetime

from inference.errors import BadRoute


def next_slot(expression: str, after: datetime) -> datetime:
    """The first moment of the schedule after `after`. Raises BadRoute for what is no NCRONTAB."""
    from croniter import CroniterBadDateError, CroniterError, croniter  # lazily: most routes have no schedule

    try:
        # NCRONTAB has seconds first, and day of month and weekday must both match.
        schedule = croniter(expression, after, second_at_beginning=True, day_or=False)
        found = schedule.get_next(datetime)
    except CroniterBadDateError:
        raise BadRoute(f"when = {expression!r}: this moment never comes; correct the schedule") from None
    except (CroniterError, ValueError) as error:
        raise BadRoute(
            f"when = {expression!r}: not an NCRONTAB ({error}); expected six fields, such as "
            "'0 0 2 * * *' for every night at 02:00 UTC"
        ) from error
    assert isinstance(found, datetime)
    return found
