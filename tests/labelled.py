"""People of whom it is known who is whom: households, twins, namesakes, and the same people a second time with slips."""

import datetime
import random
import uuid
from dataclasses import dataclass, field, replace

from django.db import transaction

from accounts.models import User
from profiles.models import Profile

FIRST = [
    "Ann",
    "Anna",
    "Hanna",
    "Boris",
    "Chloé",
    "Dmitri",
    "Elif",
    "Farid",
    "Grace",
    "Hiro",
    "Ines",
    "Jamal",
    "Karin",
    "Liam",
    "Mei",
    "Noor",
    "Olga",
    "Paulo",
    "Maria",
    "Marie",
    "Jon",
    "John",
    "Joan",
    "Mark",
    "Marc",
    "Sofia",
    "Sophie",
    "William",
    "Robert",
    "Alexander",
    "Katherine",
    "Lena",
    "Elena",
    "Amir",
    "Samir",
    "Tom",
    "Tim",
    "Lucas",
    "Luca",
]
LAST = [
    "Anderson",
    "Brown",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Hughes",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lopez",
    "Müller",
    "Nguyen",
    "Okafor",
    "Patel",
    "Smith",
    "Smyth",
    "Lee",
    "Li",
    "Tremblay",
    "Gagnon",
    "Roy",
    "Singh",
    "Kaur",
    "Chan",
    "Wong",
    "Silva",
    "Rossi",
    "Novak",
    "Haddad",
    "Cohen",
    "O'Neil",
    "Petrov",
    "Larsen",
    "Berg",
    "Moreau",
    "Fortin",
    "Bouchard",
    "Pelletier",
]
STREETS = (
    "Main Street",
    "Queen Street",
    "King Avenue",
    "Lake Road",
    "Hill Drive",
    "Rue Saint-Denis",
    "Oak Lane",
    "Park Avenue",
)
CITIES = ("Toronto", "Montréal", "Ottawa", "Vancouver", "Calgary", "Halifax")


@dataclass(frozen=True)
class Human:
    """A profile's columns, and in `who` the person behind it."""

    who: int
    first_name: str
    last_name: str
    date_of_birth: datetime.date | None
    phone: str | None
    address: str | None
    city: str | None
    postal_code: str | None
    contact_email: str | None


@dataclass
class Labelled:
    """The profiles by their person, and how each second one came about."""

    humans: list[Human] = field(default_factory=list)
    slips: dict[int, str] = field(default_factory=dict)  # place in humans → kind

    def pairs(self) -> int:
        return len(self.slips)


def labelled(people: int, seed: int) -> Labelled:
    """`people` persons: of ten, four live in households of two to four who share address and mostly phone, a twentieth are
    twins; and of twenty one comes a second time, with one or two slips."""
    chance = random.Random(seed)
    made = Labelled()
    while len(made.humans) < people:
        made.humans += _household(chance, len(made.humans), people)
    for number in range(people):
        if chance.random() < 0.05:
            copy, kind = made.humans[number], []
            for slip in chance.sample(SLIPS, chance.choice((1, 1, 2))):
                copy = slip(copy, chance)
                kind.append(slip.__name__.strip("_"))
            made.slips[len(made.humans)] = " and ".join(sorted(kind))
            made.humans.append(copy)
    return made


def store(made: Labelled) -> dict[uuid.UUID, int]:
    """Write them as customers; gives who each profile is."""
    users = [User(email=f"h{place}@example.com", role="customer") for place in range(len(made.humans))]
    who = {}
    with transaction.atomic():
        User.objects.bulk_create(users, batch_size=2000)
        profiles = {p.user_id: p for p in Profile.objects.filter(user__in=[user.pk for user in users])}
        columns = [name for name in Human.__annotations__ if name != "who"]
        for user, human in zip(users, made.humans, strict=True):
            profile = profiles[user.pk]
            for name in columns:
                setattr(profile, name, getattr(human, name))
            who[profile.pk] = human.who
        Profile.objects.bulk_update(profiles.values(), columns, batch_size=500)
    return who


def _household(chance: random.Random, who: int, people: int) -> list[Human]:
    size = min(chance.choice((1, 1, 1, 1, 1, 1, 2, 2, 3, 4)), people - who)
    last, city = chance.choice(LAST), chance.choice(CITIES)
    home = f"{chance.randrange(1, 400)} {chance.choice(STREETS)}"
    postal = f"{chance.choice('HKLMTV')}{chance.randrange(10)}{chance.choice('ABCEG')} {chance.randrange(10)}{chance.choice('ABCEG')}{chance.randrange(10)}"
    line, mailbox = _phone(chance), f"home{who}@example.org"
    names = chance.sample(FIRST, size)
    twins = size >= 2 and chance.random() < 0.25
    born = _born(chance)
    found = []
    for place, first in enumerate(names):
        known = chance.random
        found.append(
            Human(
                who=who + place,
                first_name=first,
                last_name=last if known() < 0.9 else chance.choice(LAST),
                date_of_birth=(born if twins and place < 2 else _born(chance)) if known() < 0.7 else None,
                phone=(line if size > 1 and known() < 0.6 else _phone(chance)) if known() < 0.85 else None,
                address=home if known() < 0.7 else None,
                city=city,
                postal_code=postal if known() < 0.8 else None,
                contact_email=mailbox if size > 1 and known() < 0.2 else None,
            )
        )
    return found


def _phone(chance: random.Random) -> str:
    return f"+1 {chance.choice(('416', '514', '604'))} {chance.randrange(200, 999)} {chance.randrange(10000):04}"


def _born(chance: random.Random) -> datetime.date:
    return datetime.date(1940, 1, 1) + datetime.timedelta(days=chance.randrange(24000))


# --- slips --------------------------------------------------------------------------------------------------------


def _typo(text: str, chance: random.Random) -> str:
    """One letter left out, doubled, exchanged with the next, or another one."""
    place = chance.randrange(1, max(2, len(text)))
    match chance.randrange(4):
        case 0:
            return text[:place] + text[place + 1 :]
        case 1:
            return text[:place] + text[place - 1 : place] + text[place:]
        case 2:
            return text[: place - 1] + text[place : place + 1] + text[place - 1 : place] + text[place + 1 :]
    return text[:place] + chance.choice("aeinrst") + text[place + 1 :]


def _first_name_typo(human: Human, chance: random.Random) -> Human:
    return replace(human, first_name=_typo(human.first_name, chance))


def _last_name_typo(human: Human, chance: random.Random) -> Human:
    return replace(human, last_name=_typo(human.last_name, chance))


def _initial(human: Human, chance: random.Random) -> Human:
    return replace(human, first_name=f"{human.first_name[0]}.")


def _names_exchanged(human: Human, chance: random.Random) -> Human:
    return replace(human, first_name=human.last_name, last_name=human.first_name)


def _accents_lost(human: Human, chance: random.Random) -> Human:
    plain = str.maketrans("éíüó", "eiuo")
    return replace(
        human, first_name=human.first_name.translate(plain).upper(), last_name=human.last_name.translate(plain)
    )


def _married(human: Human, chance: random.Random) -> Human:
    return replace(human, last_name=chance.choice(LAST))


def _moved(human: Human, chance: random.Random) -> Human:
    home = f"{chance.randrange(1, 400)} {chance.choice(STREETS)}"
    return replace(human, address=home, city=chance.choice(CITIES), postal_code=None)


def _other_phone(human: Human, chance: random.Random) -> Human:
    return replace(human, phone=_phone(chance))


def _phone_as_typed(human: Human, chance: random.Random) -> Human:
    digits = "".join(filter(str.isdigit, human.phone or ""))
    return replace(human, phone=f"({digits[1:4]}) {digits[4:7]}-{digits[7:]}" if digits else None)


def _day_and_month(human: Human, chance: random.Random) -> Human:
    born = human.date_of_birth
    return replace(
        human, date_of_birth=born.replace(day=born.month, month=born.day) if born and born.day <= 12 else born
    )


def _birth_date_left_out(human: Human, chance: random.Random) -> Human:
    return replace(human, date_of_birth=None)


def _street_shortened(human: Human, chance: random.Random) -> Human:
    short = (human.address or "").replace("Street", "St.").replace("Avenue", "Ave").replace("Road", "Rd")
    return replace(human, address=short or None)


SLIPS = (
    *(_first_name_typo, _last_name_typo, _initial, _names_exchanged, _accents_lost, _married, _moved, _other_phone),
    *(_phone_as_typed, _day_and_month, _birth_date_left_out, _street_shortened),
)
