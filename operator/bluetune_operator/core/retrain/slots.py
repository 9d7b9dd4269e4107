"""Times of a schedule, in its zone: what daylight saving does to them is as in Debian's cron.

A time that a day does not have comes right after the gap, and one that a day has twice comes the first time.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from bluetune_api.retrain import Trigger

NEAR, FAR = timedelta(days=8), timedelta(days=366 * 8 + 1)
"""How far back a time is looked for: dense schedules have one near, and the rarest one is a 29th of February."""


class ScheduleInvalid(Exception):
    """A schedule without times, or in a zone that does not exist; the message names the field."""


def check_schedules(triggers: Sequence[Trigger], now: datetime) -> None:
    """Raises ScheduleInvalid."""
    for number, trigger in enumerate(triggers):
        if trigger.schedule is not None and next(_times(number, trigger, now), None) is None:
            raise ScheduleInvalid(f"spec.retrain.triggers[{number}].schedule: {trigger.schedule!r} is no time ever")


def next_slot(triggers: Sequence[Trigger], after: datetime) -> datetime | None:
    """The first time of any schedule that comes after a moment; None without schedules."""
    found = [next(_times(n, t, after), None) for n, t in enumerate(triggers) if t.schedule is not None]
    return min((slot for slot in found if slot is not None), default=None)


def last_slot(triggers: Sequence[Trigger], after: datetime, until: datetime) -> datetime | None:
    """The last time of any schedule that is later than `after`, and not later than `until`."""
    found = (_last(n, t, after, until) for n, t in enumerate(triggers) if t.schedule is not None)
    return max((slot for slot in found if slot is not None), default=None)


def _last(number: int, trigger: Trigger, after: datetime, until: datetime) -> datetime | None:
    for back in (NEAR, FAR):
        last = None
        for slot in _times(number, trigger, max(after, until - back)):
            if slot > until:
                break
            last = slot
        if last is not None or until - after <= back:
            return last
    return None


def _times(number: int, trigger: Trigger, after: datetime) -> Iterator[datetime]:
    """Times in UTC that come after a moment, in order."""
    where, schedule = f"spec.retrain.triggers[{number}]", trigger.schedule or ""
    name = trigger.time_zone or "UTC"
    try:
        zone = UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        text = f"{where}.timeZone: there is no zone {name!r}; name one of the IANA database, such as Europe/Berlin"
        raise ScheduleInvalid(text) from None
    try:
        times = CronSim(schedule, after.astimezone(zone))
    except CronSimError as error:
        raise ScheduleInvalid(f"{where}.schedule: {schedule!r}: {error}") from None
    for local in times:
        slot = local.astimezone(UTC)
        if slot > after:  # in the hour that a day has twice, the first one is over when the second one is asked for
            yield slot
