"""What a person sees of a miner, and the bench's reading of somebody else's."""

from __future__ import annotations

import asyncio
import io
import json
import urllib.request

import pytest
from rich.console import Console

from tasksprint.apps.miner.command import summary
from tasksprint.cli.bench_bitcoin import StandIn
from tasksprint.cli.bench_miner import peer_rate
from tasksprint.cli.commands import Failure
from tasksprint.cli.miner_display import MinerDisplay, Rate, rate_text

LINE = {
    "lines": 3,
    "height": 7,
    "difficulty": 0.5,
    "chain": "regtest",
    "kernel": "python",
    "trouble": "",
    "last": "",
    "found": 4,
    "accepted": 3,
    "stale": 1,
    "rejected": 0,
    "hashes": "1000",
    "clients": {"here": 5e6},
}


def test_rates_over_a_minute_and_a_quarter_of_an_hour() -> None:
    rate = Rate()
    for second in range(1000):
        rate.add(second, 1000 * second if second < 900 else 900_000 + 5000 * (second - 900))
    assert rate.over(60) == pytest.approx(5000)
    assert 1000 < rate.over(900) < 2000
    assert len(rate.points) <= 901
    assert Rate().over(60) == 0


def test_rates_for_a_person() -> None:
    assert [rate_text(rate) for rate in (12, 1234, 4.2e7, 3e9)] == ["12 H/s", "1.2 kH/s", "42.0 MH/s", "3.0 GH/s"]


def test_a_line_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with MinerDisplay() as shown:
        shown.heard(LINE)
        text = shown.text()
        shown.heard({**LINE, "trouble": "nobody answers"})
        shown.heard({**LINE, "trouble": "nobody answers"})
    for words in ("(1 min)", "(15 min)", "4 found, 3 accepted, 1 stale, 0 rejected", "height 7", "here 5.0 MH/s"):
        assert words in text
    assert capsys.readouterr().err.count("nobody answers") == 1


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_fits_its_terminal(width: int) -> None:
    clients = {f"a-machine-with-a-long-name.example.org:{number}": 1e6 * number for number in range(1, 21)}
    line = {**LINE, "clients": clients, "last": "block 7 " + "0" * 200, "trouble": "no Bitcoin node answers " * 9}
    with MinerDisplay() as shown:
        shown.heard(line)
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True)
    console.print(shown.table())
    lines = console.export_text().splitlines()
    assert all(len(each) <= width for each in lines)
    assert len(lines) == 4 + 8 + 1 + 2, "one line each"
    assert lines[0].startswith("hash rate  0 H/s (1 min), 0 H/s (15 min)")
    if width > 40:
        assert "and 12 more 78.0 MH/s" in lines[12]
        assert "a-machine-with-a-long-name.example.org:20 20.0 MH/s" in lines[4]


def test_a_block_that_was_refused_is_said_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with MinerDisplay() as shown:
        for last in ("", "block 7 00ab… accepted", "block 8 00cd… rejected (high-hash)"):
            shown.heard({**LINE, "last": last})
            shown.heard({**LINE, "last": last})
    assert capsys.readouterr().err.splitlines() == [shown.text(), "block 8 00cd… rejected (high-hash)"]


def test_a_summary_has_the_blocks() -> None:
    said = "blocks: 4 found, 3 accepted, 1 stale, 0 rejected; 1,000 hashes"
    blocks = ["00ab", "00ac", "00ad"]
    assert summary({**LINE, "blocks": blocks}) == [*blocks, said]
    assert summary({**LINE, "blocks": blocks[1:]})[2:] == [said, "(these are the last 2 of the accepted ones)"]
    unknown = summary({**LINE, "blocks": blocks, "stale": 0})[-1]
    assert unknown == "(the Bitcoin node has not said what became of 1 of those that were found)"


def test_the_rate_of_a_peer_is_what_it_prints() -> None:
    said = "printf '%s\\n' 'Total: 3.25 kH/s' 'Total: 41.5 MH/s' 'CPU #0: 20 MH/s'"
    assert asyncio.run(peer_rate(f'sh -c "{said}"', 1)) == 41.5e6
    with pytest.raises(Failure, match="has printed no rate"):
        asyncio.run(peer_rate("true", 1))


def test_the_stand_in_moves_on() -> None:
    def ask(method: str, *parameters: object) -> object:
        body = json.dumps({"method": method, "params": parameters}).encode()
        with urllib.request.urlopen(node.url, body) as answer:
            return json.load(answer)["result"]

    with StandIn() as node:
        before = ask("getbestblockhash")
        node.move()
        assert ask("getbestblockhash") != before
        template = ask("getblocktemplate", {"longpollid": before})
        assert isinstance(template, dict) and template["previousblockhash"] == node.tip
