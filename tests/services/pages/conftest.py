"""A service with answered cases, and a real browser that fails a test by what its console says."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from page_browser import Stock, sent, sign_in
from playwright.sync_api import Browser, Page, sync_playwright
from reading_ward import Ward, reading_ward
from service_processes import await_report, await_result, running
from service_requests import case, cohort_film

from services.auth import Role, add_client

CHROMIUM = shutil.which("chromium")  # `make test` installs it
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


@pytest.fixture(scope="session")
def stock(tiny_artifact: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    """Made once for all pages; who changes a case makes one of their own (`sent`)."""
    folder = tmp_path_factory.mktemp("stock")
    tokens = {role: add_client(folder / "tokens", f"the-{role}", role) for role in Role if role is not Role.LOCAL}
    options = ("--port", "0", "--tokens", str(folder / "tokens"))
    pace = {"CLINIMM_DEBOUNCE_SECONDS": "0.2", "CLINIMM_HEARTBEAT_SECONDS": "0.5"}
    with running("serve", folder / "data", tiny_artifact, *options, **pace) as service:
        made = Stock(service.url(), folder / "data", {str(role): token for role, token in tokens.items()})
        with made.api() as client:
            made.cases |= _posted(client, tiny_cohort)
        yield made


def _posted(client: httpx.Client, cohort: Path) -> dict[str, str]:
    films = [("image", cohort_film(cohort, number)) for number in range(4)]
    labs = case()["labs"]
    found = {
        "whole": sent(client, case("whole"), [films[0]]),
        "no_labs": sent(client, case("no-labs", labs=None), [films[1]]),
        "no_film": sent(client, case("no-film")),
        "late_labs": sent(client, case("late-labs", labs=None), [films[2]]),
        "held": sent(client, case("held", patient={"id": "p-2"}), [films[3]], answered=False),
    }
    headers = {"Idempotency-Key": hashlib.sha256(found["late_labs"].encode()).hexdigest()}
    added = client.post(f"/v1/cases/{found['late_labs']}/inputs", json={"labs": labs}, headers=headers)
    assert added.status_code == 202, added.text
    while len(await_result(client, found["late_labs"], seconds=240)["results"]) < 2:
        pass
    assert await_report(client, found["late_labs"], seconds=240).status_code == 200
    return found


@pytest.fixture
def ward(migrated_sqlite: Path, described_model: Path, tmp_path: Path) -> Iterator[Ward]:
    (tmp_path / "clinimm.db").write_bytes(migrated_sqlite.read_bytes())
    with reading_ward(f"sqlite:///{tmp_path / 'clinimm.db'}", described_model, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with its module: while it is open, an event loop runs in this thread, and other rooms want none."""
    with sync_playwright() as player:
        opened = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh browser profile. What its console calls an error, such as a broken content security policy, fails the
    test; a refused request, which some tests ask for, does not."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    opened, said = context.new_page(), list[str]()
    opened.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    assert [line for line in said if "Failed to load resource" not in line] == []


@pytest.fixture
def signed_in(page: Page, stock: Stock) -> Callable[[Role], Page]:
    def as_role(role: Role) -> Page:
        sign_in(page, stock.url, stock.tokens[role])
        return page

    return as_role
