"""What runs in a container: the schema first, then the server in this process's place."""

import os

from flask_migrate import upgrade

from randomize import create_app

with create_app().app_context():
    upgrade(directory="migrations")

os.environ.setdefault("PORT", "5000")
os.execvp("gunicorn", ["gunicorn", "randomize:create_app()"])
