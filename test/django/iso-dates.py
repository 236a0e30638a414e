"""Records the results of `datetime.fromisoformat` in each PYTHON.

    python3 test/django/iso-dates.py PYTHON… > test/vectors/iso-dates.json

Each row is a random text of valid and malformed parts (with a fixed seed), and the result: digits and the offset in
seconds (null for a naive datetime), or null where it raises. `disputed` are texts for which Python's two implementations
(C and Python) differ.
"""

import json
import random
import subprocess
import sys

READER = """
import json, sys
if sys.argv[1] == "pure":
    sys.modules["_datetime"] = None
import datetime
def read(text):
    try:
        date = datetime.datetime.fromisoformat(text)
    except Exception:
        return None
    offset = date.utcoffset()
    return {"digits": date.replace(tzinfo=None).isoformat(" ", "microseconds"),
            "offset": None if offset is None else offset.total_seconds()}
json.dump([sys.version.split()[0], [read(text) for text in json.load(sys.stdin)]], sys.stdout)
"""

DATES = [
    "2023-11-15", "20231115", "2024-02-29", "2023-02-29", "0001-01-01", "9999-12-31", "0000-01-01", "0099-03-01",
    "2023-W46-3", "2023W463", "2023-W46", "2023W46", "2020-W53-7", "2021-W53-1", "2021-W01-1", "2022-W52-7", "2023-W00-1",
    "2023-W10-0", "2023-W10-8", "2023-13-01", "2023-00-10", "2023-11-31", "2023-1115", "202311-15", "2023-11", "2023-319",
    "2023-1-5", "23-11-15", "٢٠٢٣-11-15", "2023/11/15", "-2023-11-15", " 2023-11-15", "",
]
SEPARATORS = ["T"] * 6 + [" "] * 4 + ["t", "_", "é", "", "  "]
TIMES = [
    "08:30:15", "083015", "08:30", "0830", "08", "23:59:59", "00:00:00", "08:30:15.1", "08:30:15.12", "08:30:15.123",
    "08:30:15,123456", "08:30:15.1234567", "083015.25", "08:30:15.", "24:00:00", "24:00", "08:60", "08:30:60", "8:30",
    "08:3", "083", "0830:15", "08:3015", "08:30:15:16", "tomorrow", "",
]
OFFSETS = [""] * 6 + ["Z"] * 3 + [
    "+00:00", "-00:00", "+09:00", "-03:30", "+0530", "+05", "-0800", "+23:59", "-23:59", "+24:00", "+05:30:15",
    "+05:30:15.250000", "+053015", "z", " Z", "+5", "+05:3", "Z+00:00", "+", "UTC", "GMT",
]


def main(pythons):
    chance = random.Random(20231115)
    texts = list(dict.fromkeys(
        [date for date in DATES]
        + ["2023-11-15T" + time + offset for time in TIMES for offset in ["", "Z", "+09:00"]]
        + ["2023-11-15 08:30:15.123" + offset for offset in OFFSETS]
        + ["".join(map(chance.choice, (DATES, SEPARATORS, TIMES, OFFSETS))) for _ in range(600)]
        + ["300", "1700003600000", "tomorrow", "now", "2023-11-15T08:30:15\n", "2023-11-15T08:30:15\u0000"]
    ))
    answers = [ask(python, mode, texts) for python in pythons for mode in ("C", "pure")]
    rows, disputed = [], []
    for text, *readings in zip(texts, *(readings for _, readings in answers)):
        if all(reading == readings[0] for reading in readings):
            rows.append({"text": text, "reading": readings[0]})
        else:
            disputed.append(text)
    versions = sorted({version for version, _ in answers})
    print(json.dumps({"pythons": versions, "rows": rows, "disputed": disputed}, indent=0))


def ask(python, mode, texts):
    command = [python, "-c", READER, mode]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


main(sys.argv[1:])
