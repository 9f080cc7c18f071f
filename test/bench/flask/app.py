"""The stack of the project's first description, for the bench alone: Flask, SQLAlchemy, flask-limiter and flask-cors over
SQLite. POST /write takes {"text", "expires_in"}, GET /load/CODE gives {"text"}. DATABASE is the file; `app.py FILL` makes it."""
import os
import secrets
import sqlite3
import string
import sys
import time
from contextlib import closing

from flask import Flask, abort, jsonify, request
from flask_cors import CORS
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import QueuePool

DATABASE = os.environ["DATABASE"]


def fill():
    """Makes the file, with every code of four letters in the pool."""
    with sqlite3.connect(DATABASE) as database:
        database.executescript(
            """
            PRAGMA journal_mode = WAL;
            CREATE TABLE code (code TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE text (code TEXT PRIMARY KEY, body TEXT NOT NULL, expires_at REAL NOT NULL) WITHOUT ROWID;
            CREATE INDEX text_expires_at ON text (expires_at);
            CREATE TEMP TABLE letter (letter TEXT);
            """
        )
        database.executemany("INSERT INTO letter VALUES (?)", string.ascii_letters)
        database.execute(
            "INSERT INTO code SELECT a.letter || b.letter || c.letter || d.letter"
            " FROM letter a, letter b, letter c, letter d ORDER BY 1"
        )


# Pooled, or SQLAlchemy opens the file anew for each request, which takes half as long again.
engine = create_engine(f"sqlite:///{DATABASE}", poolclass=QueuePool, connect_args={"timeout": 30, "check_same_thread": False})


@event.listens_for(engine, "connect")
def on_connect(connection, _):
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = FULL")


application = Flask(__name__)
CORS(application)
Limiter(get_remote_address, app=application, default_limits=["1000000000 per minute"], storage_uri="memory://")


@application.post("/write")
def write():
    body = request.get_json()
    start = "".join(secrets.choice(string.ascii_letters) for _ in range(4))
    # Past SQLAlchemy's own transactions, which commit after each statement.
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        (code,) = cursor.execute(
            "DELETE FROM code WHERE code = (SELECT code FROM code WHERE code >= ? ORDER BY code LIMIT 1) RETURNING code",
            (start,),
        ).fetchone()
        expires_at = time.time() + body.get("expires_in", 3600)
        cursor.execute("INSERT INTO text VALUES (?, ?, ?)", (code, body["text"], expires_at))
        cursor.execute("COMMIT")
    return jsonify(code=code), 201


@application.get("/load/<code>")
def load(code):
    with engine.connect() as connection:
        found = connection.execute(text("SELECT body, expires_at FROM text WHERE code = :code"), {"code": code}).first()
    if found is None or found.expires_at <= time.time():
        abort(404)
    return jsonify(text=found.body)


if __name__ == "__main__" and "FILL" in sys.argv:
    fill()
