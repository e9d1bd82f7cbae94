"""Makes the people of a test: reads a JSON list from standard input and prints their ids as JSON.

Each person: {"username", "email", "password"} or, for a hash made elsewhere, {"encoded"} in place of the
password; optionally "is_active", "first_name", "last_name".
"""

import json
import sys

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

FIELDS = {"username", "email", "password", "encoded", "is_active", "first_name", "last_name"}


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args, **options):
        people = json.load(sys.stdin)
        with transaction.atomic():
            ids = {person["username"]: self.make(dict(person)) for person in people}
        self.stdout.write(json.dumps(ids))

    def make(self, person):
        unknown = set(person) - FIELDS
        if unknown:
            raise CommandError(f"unknown field {sorted(unknown)[0]}")
        encoded = person.pop("encoded", None)
        user = get_user_model().objects.create_user(**person)
        if encoded is not None:
            user.password = encoded
            user.save(update_fields=["password"])
        return user.pk
