"""For developers: write the next revision from the difference between the tables and the history.

``python -m backend.store.migrations "what changes"`` adds a revision, to be read and corrected before it is
committed. ``python -m backend.store.migrations --initial`` writes the first one anew; that is allowed only
until the first release.
"""

from __future__ import annotations

import re
import sys

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from backend.store.migrate import FOLDER, settings, upgrade

_TEMPLATE = '''"""{message}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {parent!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    {body}
'''


def main(arguments: list[str]) -> int:
    """Write one revision; answers the exit status."""
    if len(arguments) != 1:
        sys.stderr.write(str(__doc__))
        return 2
    initial = arguments[0] == "--initial"
    message = "Initial" if initial else arguments[0]
    engine = create_engine("sqlite://", poolclass=StaticPool)
    if not initial:
        upgrade(engine)
    with engine.connect() as connection:
        options = settings(connection)
        context = MigrationContext.configure(
            connection,
            opts={**options, "render_as_batch": not initial},
        )
        operations = produce_migrations(context, options["target_metadata"]).upgrade_ops
    if operations is None or operations.is_empty():
        sys.stderr.write("the history describes the tables already\n")
        return 1
    parent = None if initial else ScriptDirectory(str(FOLDER)).get_current_head()
    revision = f"{int(parent or 0) + 1:04d}"
    slug = re.sub(r"\W+", "_", message.lower()).strip("_")
    target = FOLDER / "versions" / f"{revision}_{slug}.py"
    target.write_text(
        _TEMPLATE.format(
            message=message,
            revision=revision,
            parent=parent,
            body=_body(render_python_code(operations, render_as_batch=not initial)),
        )
    )
    sys.stdout.write(f"{target}\n")
    return 0


def _body(code: str) -> str:
    """The statements, without the generator's remarks."""
    return "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ###")).strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
