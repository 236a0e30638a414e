"""Records Python's wall clock around its changes, as with USE_TZ = False (Django: `datetime.now()` under TIME_ZONE).

    python3.13 test/django/wall-clock.py > test/vectors/wall-clock.json

Per time zone: `now` (instants, in seconds) with the wall clock digits; and, for seconds added to those digits, the
resulting digits and their instant (`fold=0`, once by the time zone of the C library and once by zoneinfo).
"""

import datetime
import json
import os
import sys
import time
import zoneinfo

CHANGES = {
    "America/Chicago": ["2026-03-08T08:00:00+00:00", "2026-11-01T07:00:00+00:00"],
    "Asia/Seoul": ["1988-05-07T17:00:00+00:00", "1988-10-08T17:00:00+00:00", "2026-11-23T00:00:00+00:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00:00+00:00", "2026-10-03T15:30:00+00:00"],
    "Europe/Berlin": ["2026-03-29T01:00:00+00:00", "2026-10-25T01:00:00+00:00", "2050-03-27T01:00:00+00:00"],
    "Pacific/Apia": ["2011-12-30T10:00:00+00:00"],
    "UTC": ["2026-11-23T00:00:00+00:00"],
}
MINUTES = [-1500, -121, -120, -91, -61, -60, -31, -30, -1, 0, 1, 29, 30, 59, 60, 61, 90, 119, 120, 1500]
SECONDS = [0, -90, 1799, 3600, 86400, -86400, 1209600]


def instant_of(digits, zone):
    """The instant of naive digits, in seconds."""
    by_libc = digits.timestamp()
    by_zoneinfo = digits.replace(tzinfo=zone).timestamp()
    assert by_libc == by_zoneinfo, (digits, zone)
    return int(by_libc)


def rows(name):
    os.environ["TZ"] = name
    time.tzset()
    zone = zoneinfo.ZoneInfo(name)
    for change in CHANGES[name]:
        for minutes in MINUTES:
            now = int(datetime.datetime.fromisoformat(change).timestamp()) + minutes * 60
            digits = datetime.datetime.fromtimestamp(now)
            later = [digits + datetime.timedelta(seconds=seconds) for seconds in SECONDS]
            yield {
                "now": now,
                "digits": str(digits),
                "later": [
                    {"seconds": seconds, "digits": str(sum), "instant": instant_of(sum, zone)}
                    for seconds, sum in zip(SECONDS, later)
                ],
            }


print(json.dumps({"python": sys.version.split()[0], "zones": {name: list(rows(name)) for name in CHANGES}}, indent=0))
