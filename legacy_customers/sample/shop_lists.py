"""Whose value wins: preferences, lists and notes, whole, blank and of the wrong shape."""

from psycopg.types.json import Jsonb

from legacy_customers.sample.persons import Person, customer, person, seen
from legacy_customers.sample.shop_identity import LINKED, VERIFIED
from legacy_customers.sample.shop_values import NEWEST, OLDER, OLDEST

LISTS: tuple[Person, ...] = (
    person(
        "preferences_merge",
        "Nested preferences: the newest source wins key by key, each losing value is a conflict with its path.",
        users=[VERIFIED],
        customers=[LINKED, {}],
        customer_profiles=[
            OLDER | {"preferences": {"theme": "dark", "mail": {"weekly": True, "hour": 9}, "old": 1}},
            OLDEST
            | {
                "customer_id": customer(2),
                "preferences": {"theme": "blue", "mail": {"hour": 7, "tone": "formal"}},
            },
        ],
        user_profiles=[
            NEWEST
            | {
                "email": "preferences.merge@example.com",
                "preferences": {"theme": "light", "mail": {"hour": 18}, "new": [1]},
            }
        ],
    ),
    person(
        "preferences_blank_never_wins",
        "Blank values in the newest source lose against anything: null, '', {}, [] and blanks.",
        users=[VERIFIED],
        customers=[LINKED],
        customer_profiles=[OLDER | {"preferences": {"a": 1, "b": "x", "c": {"d": 2}, "e": [3], "f": "y", "g": False}}],
        user_profiles=[
            NEWEST
            | {
                "email": "preferences.blank.never.wins@example.com",
                "preferences": {"a": None, "b": "", "c": {}, "e": [], "f": "  ", "g": 0},
            }
        ],
    ),
    person(
        "preferences_shapes_disagree",
        "A key is an object in one source and a text in the other; one key holds a dot, one is empty.",
        users=[VERIFIED],
        customers=[LINKED],
        customer_profiles=[OLDER | {"preferences": {"mail": {"hour": 9}, "a.b": 1, "a": {"b": 2}, "": 3}}],
        user_profiles=[
            NEWEST
            | {
                "email": "preferences.shapes.disagree@example.com",
                "preferences": {"mail": "never", "a.b": 4, "": 5},
            }
        ],
    ),
    person(
        "preferences_are_a_list",
        "The newest preferences are a list, the next a text: both stay whole in conflicts, the third is taken.",
        users=[VERIFIED],
        customers=[LINKED, {}],
        customer_profiles=[
            OLDER | {"preferences": Jsonb("dark please")},
            OLDEST | {"customer_id": customer(2), "preferences": {"theme": "dark"}},
        ],
        user_profiles=[NEWEST | {"email": "preferences.are.a.list@example.com", "preferences": ["dark", "large"]}],
    ),
    person(
        "preferences_blank",
        "jsonb null, '', [] and SQL NULL: blank, no conflict.",
        users=[VERIFIED],
        customers=[LINKED, {}, {}, {}],
        customer_profiles=[
            {"customer_id": customer(1), "preferences": Jsonb(None), "purchase_history": Jsonb(None)},
            {"customer_id": customer(2), "preferences": Jsonb(""), "purchase_history": Jsonb("")},
            {"customer_id": customer(3), "preferences": [], "purchase_history": {}},
            {"customer_id": customer(4), "preferences": None, "purchase_history": None},
        ],
    ),
    person(
        "tags_union",
        'Duplicates within and between rows; order kept; 1 and 1.0 are one number, "1" is a text.',
        users=[VERIFIED],
        customers=[
            LINKED | {"tags": ["b", "a", "b", 1]},
            NEWEST | {"tags": ["c", "a", {"x": 1, "y": 2}, "1"]},
            OLDER | {"tags": ["A", {"y": 2, "x": 1}, None, "", "b", [1], True]},
        ],
    ),
    person(
        "tags_are_an_object",
        "The linked row's tags are an object, a guest's a text and another's a number: each whole in a conflict.",
        users=[VERIFIED],
        customers=[
            LINKED | {"tags": {"vip": True}},
            NEWEST | {"tags": Jsonb("vip")},
            OLDER | {"tags": Jsonb(7)},
            OLDEST | {"tags": ["real"]},
        ],
    ),
    person(
        "tags_blank",
        "jsonb null, {} , '' and SQL NULL.",
        users=[VERIFIED],
        customers=[LINKED | {"tags": None}, {"tags": Jsonb(None)}, {"tags": {}}, {"tags": Jsonb("")}],
    ),
    person(
        "session_lists_union",
        "needs, conditions, categories and effects of two sessions, one of them with wrong shapes.",
        users=[VERIFIED],
        customers=[LINKED],
        user_profiles=[
            NEWEST
            | {
                "email": "session.lists.union@example.com",
                "needs": ["sleep", "focus", "sleep"],
                "medical_conditions": {"main": "insomnia"},
                "preferred_categories": Jsonb("oils"),
                "preferred_effects": Jsonb(None),
            },
            OLDER
            | {
                "email": "session.lists.union@example.com",
                "needs": ["rest", "focus"],
                "medical_conditions": ["migraine"],
                "preferred_categories": ["edibles"],
                "preferred_effects": ["calm"],
            },
        ],
    ),
    person(
        "purchase_history_joined",
        "Three sources, an entry in two of them with its keys in another order.",
        users=[VERIFIED],
        customers=[LINKED, {}],
        customer_profiles=[
            OLDER | {"purchase_history": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}]},
            OLDEST
            | {
                "customer_id": customer(2),
                "purchase_history": [{"qty": 2, "sku": "B"}, {"sku": "C", "qty": 3}],
            },
        ],
        user_profiles=[
            NEWEST
            | {
                "email": "purchase.history.joined@example.com",
                "purchase_history": [{"sku": "A", "qty": 1}, {"sku": "D"}],
            }
        ],
    ),
    person(
        "purchase_history_is_an_object",
        "An object for a list stays whole in a conflict, the next source is asked.",
        users=[VERIFIED],
        customers=[LINKED, {}],
        customer_profiles=[
            NEWEST | {"purchase_history": {"sku": "A"}},
            OLDER | {"customer_id": customer(2), "purchase_history": [{"sku": "B"}]},
        ],
    ),
    person(
        "notes_joined",
        "Distinct notes, oldest first by created_at, whatever was changed last; one is there twice, one is blank.",
        users=[VERIFIED],
        customers=[
            LINKED | seen("2023-03-01 00:00:00", "2025-01-01 00:00:00") | {"notes": "Third."},
            seen("2023-01-01 00:00:00", "2025-03-01 00:00:00") | {"notes": "First,\n\nin two paragraphs."},
            seen("2023-02-01 00:00:00", "2025-02-01 00:00:00") | {"notes": "Second."},
            seen("2023-04-01 00:00:00") | {"notes": "Second."},
            seen("2023-05-01 00:00:00") | {"notes": " \n "},
        ],
    ),
)
