"""Randomize: jumbles words and remembers them."""

import os

import swagger_ui_bundle
from flask import Flask, jsonify, send_from_directory
from flask_smorest import Api
from sqlalchemy.exc import OperationalError

from .histories import histories
from .models import db, migrate
from .randomizes import randomizes


def database_url():
    """SQLite for development, PostgreSQL where `DATABASE_URL` names one."""
    url = os.environ.get("DATABASE_URL") or f"sqlite:///{os.path.abspath('randomize.db')}"
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def create_app():
    app = Flask(__name__)
    app.config.update(
        API_TITLE="Randomize",
        API_VERSION="1",
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        OPENAPI_SWAGGER_UI_PATH="/docs",
        OPENAPI_SWAGGER_UI_URL="/docs/assets/",
        SQLALCHEMY_DATABASE_URI=database_url(),
        # A database that was restarted has closed its connections.
        SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": True},
    )
    db.init_app(app)
    migrate.init_app(app, db)
    api = Api(app)
    api.register_blueprint(randomizes)
    api.register_blueprint(histories)

    @app.get("/")
    def hello():
        return "Hello from randomize\n", {"Content-Type": "text/plain"}

    @app.get("/docs/assets/<path:name>")
    def docs_asset(name):
        return send_from_directory(swagger_ui_bundle.swagger_ui_path, name)

    @app.errorhandler(OperationalError)
    def database_is_away(error):
        app.logger.error("the database does not answer: %s", error.orig)
        problem = {"code": 503, "status": "Service Unavailable", "message": "The database does not answer."}
        return jsonify(problem), 503, {"Retry-After": "5"}

    return app
