"""How many of the duplicates are found, how many of what is found are duplicates, and how fast.

    python benchmarks/duplicates.py [--people N] [--seed S]

Makes N persons (default 10,000) in households, with twins and namesakes, of whom one in twenty comes a second time with one or
two slips; looks for duplicates; and prints, for each score from which a pair would be suggested, its precision (of the suggested
pairs, those that are one person) and recall (of the pairs that are one person, those that were suggested), then what was missed
by kind of slip, and the time of a first and of a second search, in which nothing has changed but one profile.
"""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from profiles import matching  # noqa: E402
from profiles.models import MergeSuggestion  # noqa: E402
from profiles.services import duplicates  # noqa: E402
from tests.databases import one, run, temporary_database  # noqa: E402
from tests.labelled import labelled, store  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with temporary_database():
        call_command("migrate", verbosity=0)
        made = labelled(options.people, options.seed)
        who = store(made)
        run("ANALYZE")
        begun = time.perf_counter()
        found = duplicates.find()
        first = time.perf_counter() - begun
        print(f"{found.looked_at:,} profiles, {found.compared:,} pairs compared, {first:.1f} s")
        run("UPDATE profiles SET phone = '1' WHERE id = (SELECT min(id::text)::uuid FROM profiles)")
        begun = time.perf_counter()
        duplicates.find()
        print(f"a second search after one change: {time.perf_counter() - begun:.3f} s")
        suggested = list(MergeSuggestion.objects.values_list("profile_id", "other_profile_id", "score"))
        print(f"\n{made.pairs():,} persons are there twice; suggested from a score of {matching.SUGGESTED_FROM}")
        print("score  pairs  precision  recall")
        for least in range(matching.SUGGESTED_FROM, 101, 10):
            pairs = [(one_, other) for one_, other, score in suggested if score >= least]
            right = sum(who[one_] == who[other] for one_, other in pairs)
            print(f"{least:5}  {len(pairs):5}  {right / max(1, len(pairs)):9.1%}  {right / made.pairs():6.1%}")
        twice = {who[one_] for one_, other, _ in suggested if who[one_] == who[other]}
        missed = Counter(kind for place, kind in made.slips.items() if made.humans[place].who not in twice)
        kinds = Counter(made.slips.values())
        print("\nmissed, by slip")
        for kind, count in missed.most_common(12):
            print(f"{count:4} of {kinds[kind]:4}  {kind}")
        assert one("SELECT count(*) FROM duplicate_keys") == len(made.humans)


if __name__ == "__main__":
    main()
