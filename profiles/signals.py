"""Every new user gets a profile, in the transaction that made the user: what the old trigger did, in code."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from accounts.models import User
from accounts.signals import users_created

from .models import Profile


@receiver(post_save, sender=User)
def give_profile_on_save(instance: User, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    """Loaded fixtures (`raw`) bring their own profiles. In a database that is taken over the profile may be there already:
    the instance is to find that one."""
    if created and not raw:
        Profile.objects.using(using).bulk_create([Profile(user_id=instance.pk)], ignore_conflicts=True)


@receiver(users_created)
def give_profiles_on_bulk_create(users: list[User], using: str, **kwargs: Any) -> None:
    """bulk_create(ignore_conflicts=True) reports users that another row kept out: who exists is asked of the database."""
    existing = User.objects.using(using).filter(pk__in=[user.pk for user in users], profile=None).only("pk")
    Profile.objects.using(using).bulk_create(
        [Profile(user=user) for user in existing], ignore_conflicts=True, batch_size=1000
    )
