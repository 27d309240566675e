"""Filters of lists that no page reads a whole table for."""

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from psycopg import sql

from profiles.search import escaped


class OneOf(admin.SimpleListFilter):
    """Values that are known beforehand: to list those that occur would read the whole table for each page."""

    values: tuple[tuple[str, str], ...]

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[tuple[str, str], ...]:
        return self.values

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name or "": self.value()}) if self.value() else queryset


class Stretch(OneOf):
    """A stretch of the index of the column and the id, read in that order, which the list has to ask for. By LIKE, though
    without wildcards: with an equality PostgreSQL takes the order for the id's alone, and would read rows of all kinds until a
    page is full; those of one kind were written together."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (value := self.value()):
            return queryset
        is_it = sql.SQL("{} LIKE %s").format(sql.Identifier(queryset.model._meta.db_table, self.parameter_name or ""))
        return queryset.filter(RawSQL(is_it.as_string(None), [escaped(value)], output_field=BooleanField()))
