"""Alembic's entry. The database is DATABASE_URL; the models are the truth that `alembic check` compares with."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, pool

from app.db import sqlalchemy_url
from app.models import metadata

if context.is_offline_mode():
    raise SystemExit("migrations look at the live database; run them online")

# given by app/migrate.py; DATABASE_URL where alembic itself is the command
database_url = context.config.attributes.get("database_url") or os.environ["DATABASE_URL"]
engine = create_engine(sqlalchemy_url(database_url), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
