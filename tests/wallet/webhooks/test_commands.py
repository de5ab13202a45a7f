"""`kumiai webhook`: the office connects a service with the apps of its developer, and looks how endpoints are doing."""

from __future__ import annotations

import pytest
from flask import Flask

from app.settings import Settings
from tests.oauth.office import Kumiai, kumiai_for
from tests.wallet.webhooks.conftest import World, new_service
from tests.wallet.webhooks.receiver import Receiver


@pytest.fixture
def kumiai(app: Flask, settings: Settings) -> Kumiai:
    return kumiai_for(settings)


def test_a_service_hears_for_an_app_as_long_as_the_office_says(
    kumiai: Kumiai, world: World, listening: Receiver
) -> None:
    service = new_service(world.app)
    service.listen(listening)
    world.pay()
    world.work()
    for _ in range(2):
        said = kumiai("webhook", "connect", service.id, world.app_id)
        assert said.exit_code == 0, said.output
    world.pay()
    world.work()
    assert f"{service.id} hears for {world.app_id}" in kumiai("webhook", "list").output
    assert kumiai("webhook", "disconnect", service.id, world.app_id).exit_code == 0
    world.pay()
    world.work()
    assert len(listening.got) == 1
    again = kumiai("webhook", "disconnect", service.id, world.app_id)
    assert (again.exit_code, "no such" in again.output) == (1, True)


def test_only_a_service_with_an_app(kumiai: Kumiai, world: World) -> None:
    for pair in [(world.app_id, world.app_id), (world.service.id, world.service.id), (world.app_id, world.service.id)]:
        refused = kumiai("webhook", "connect", *pair)
        assert refused.exit_code == 1
        assert "cannot be connected" in refused.output
    nobody = kumiai("webhook", "connect", world.service.id, "nobody_here")
    assert (nobody.exit_code, "no such" in nobody.output) == (1, True)


def test_the_list_says_how_endpoints_are_doing(kumiai: Kumiai, world: World, listening: Receiver) -> None:
    assert "no webhook endpoint" in kumiai("webhook", "list").output
    listening.answer = lambda _: 410
    endpoint = world.service.listen(listening)
    world.pay()
    world.work()
    (line, *_) = kumiai("webhook", "list").output.splitlines()
    assert line.split() == [world.service.id, endpoint, "disabled", "(gone)", "1", f"{listening.url}/hook"]
