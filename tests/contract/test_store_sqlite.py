"""Writers of one SQLite file take turns, in whichever process or thread they are."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from backend.store import Store

HOLDER = """
import sys, time
from backend.store import Store
with Store(sys.argv[1]).begin() as tx:
    tx.connection.exec_driver_sql("INSERT INTO note VALUES ('of the dead')")
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path}/turns.db"
    write(Store(url), "CREATE TABLE note (text)")
    return url


def write(store, statement):
    with store.begin() as tx:
        tx.connection.exec_driver_sql(statement)


def change_your_mind(store):
    with store.begin() as tx:
        tx.connection.exec_driver_sql("INSERT INTO note VALUES ('never')")
        raise ZeroDivisionError


def notes(store):
    with store.read() as tx:
        return tx.connection.execute(text("SELECT text FROM note ORDER BY text")).scalars().all()


def test_a_killed_writer_passes_its_turn_on_and_leaves_nothing(url):
    store = Store(url)
    with subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"mine\n"
        waiting = threading.Thread(target=write, args=(store, "INSERT INTO note VALUES ('of the living')"))
        waiting.start()
        assert notes(store) == []  # reading waits for nobody
        waiting.join(0.3)
        assert waiting.is_alive()
        holder.kill()
        waiting.join(30)
    assert notes(store) == ["of the living"]


def test_a_turn_ends_with_its_transaction_however_that_ends(url):
    one, other = Store(url), Store(url)
    with pytest.raises(ZeroDivisionError):
        change_your_mind(one)
    write(other, "INSERT INTO note VALUES ('second')")
    with pytest.raises(OperationalError):
        write(one, "INSERT INTO nowhere VALUES (1)")
    write(other, "INSERT INTO note VALUES ('third')")
    one.close()
    write(other, "INSERT INTO note VALUES ('fourth')")
    assert notes(other) == ["fourth", "second", "third"]


def test_many_writers_lose_nothing(url):
    stores = [Store(url), Store(url)]

    def fill(number):
        for _ in range(25):
            write(stores[number % 2], f"INSERT INTO note VALUES ('{number}')")

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(notes(stores[0])) == sorted(str(number) for number in range(8) for _ in range(25))


def test_an_error_does_not_repeat_what_was_to_be_kept(url):
    with pytest.raises(OperationalError) as refused, Store(url).begin() as tx:
        tx.connection.exec_driver_sql("INSERT INTO nowhere VALUES (?)", ("s3cret",))
    assert "s3cret" not in str(refused.value)
