"""JSON-RPC over real sockets, through solana-py's own transport."""

import asyncio
import base64
from typing import Any

import httpx
import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.jsonrpc import SolanaJsonRpcError
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from portfolio_platform.localnet.rpc import METHODS
from portfolio_platform.localnet.tokens import SOL_MINT, USDC_MINT
from portfolio_platform.solana.layouts import key_bytes, programs
from portfolio_platform.solana.layouts.spl_token import MINT, TOKEN_ACCOUNT
from portfolio_platform.solana.layouts.whirlpool import POOL
from portfolio_platform_tests.localnet.conftest import accounts_of
from portfolio_platform_tests.localnet.launch import Launched

BASE64 = {"encoding": "base64"}
MISSING = str(Keypair.from_seed(bytes(range(32))).pubkey())


def raw(account: dict[str, Any]) -> bytes:
    return base64.b64decode(account["data"][0])


def code_of(call: Any, *arguments: Any) -> tuple[int, Any]:
    with pytest.raises(SolanaJsonRpcError) as caught:
        call(*arguments)
    return caught.value.code, caught.value.data


def test_simple_questions(call: Any) -> None:
    assert call("getHealth") == "ok"
    assert call("getVersion")["solana-core"]
    assert len(call("getGenesisHash")) >= 32
    slot = call("getSlot")
    assert call("getBlockHeight") <= slot
    assert call("getEpochInfo")["absoluteSlot"] >= slot
    assert call("getFirstAvailableBlock") < slot
    assert call("getMinimumBalanceForRentExemption", 165) == 2_039_280


def test_account_info_and_a_missing_account(call: Any) -> None:
    reply = call("getAccountInfo", USDC_MINT, BASE64)
    account = reply["value"]
    assert account["owner"] == programs.SPL_TOKEN
    assert account["space"] == MINT.length == len(raw(account))
    assert account["rentEpoch"] == 2**64 - 1
    assert MINT.unpack(raw(account))["decimals"] == 6
    assert reply["context"]["slot"] == call("getSlot")
    assert call("getAccountInfo", MISSING, BASE64)["value"] is None


def test_many_accounts_keep_their_order_and_nulls(call: Any, universe: dict[str, Any]) -> None:
    keys = accounts_of(universe, "pool")
    reply = call("getMultipleAccounts", [keys[0], MISSING, *keys[1:]], BASE64)
    assert reply["value"][1] is None
    assert all(reply["value"][k] is not None for k in (0, *range(2, len(keys) + 1)))
    code, _ = code_of(call, "getMultipleAccounts", [keys[0]] * 101, BASE64)
    assert code == -32602
    assert len(call("getMultipleAccounts", [keys[0]] * 100, BASE64)["value"]) == 100


def test_encodings_and_slices(call: Any) -> None:
    whole = raw(call("getAccountInfo", SOL_MINT, BASE64)["value"])
    assert raw(
        call("getAccountInfo", SOL_MINT, {**BASE64, "dataSlice": {"offset": 44, "length": 1}})[
            "value"
        ]
    ) == bytes([9])
    sliced = call("getAccountInfo", SOL_MINT, {**BASE64, "dataSlice": {"offset": 80, "length": 9}})
    assert raw(sliced["value"]) == whole[80:]
    packed = call("getAccountInfo", SOL_MINT, {"encoding": "base64+zstd"})["value"]["data"]
    assert packed[1] == "base64+zstd"
    import pyarrow

    compressed = base64.b64decode(packed[0])
    assert pyarrow.Codec("zstd").decompress(compressed, len(whole), asbytes=True) == whole
    text, kind = call("getAccountInfo", SOL_MINT, {"encoding": "base58"})["value"]["data"]
    assert kind == "base58"
    assert len(text) > 82
    code, _ = code_of(call, "getAccountInfo", SOL_MINT, {"encoding": "jsonParsed"})
    assert code == -32602


def test_a_slice_of_program_accounts_reads_a_price(call: Any, universe: dict[str, Any]) -> None:
    where = {"memcmp": {"offset": 101, "bytes": SOL_MINT}}
    to = {"memcmp": {"offset": 181, "bytes": USDC_MINT}}
    config = {
        **BASE64,
        "filters": [{"dataSize": POOL.length}, where, to],
        "dataSlice": {"offset": 65, "length": 16},
        "withContext": True,
    }
    rows = call("getProgramAccounts", programs.ORCA_WHIRLPOOL, config)["value"]
    assert len(rows) == 1
    sqrt = int.from_bytes(raw(rows[0]["account"]), "little") / 2**64
    assert 100 < sqrt**2 * 1000 < 250
    assert rows[0]["pubkey"] in accounts_of(universe, "pool")
    assert call("getProgramAccounts", MISSING, BASE64) == []


def test_wallet_holdings(call: Any, universe: dict[str, Any]) -> None:
    (wallet,) = accounts_of(universe, "wallet")
    assert call("getBalance", wallet)["value"] > 10**9
    rows = call("getTokenAccountsByOwner", wallet, {"programId": programs.SPL_TOKEN}, BASE64)[
        "value"
    ]
    assert len(rows) >= 5
    for row in rows:
        assert TOKEN_ACCOUNT.unpack(raw(row["account"]))["owner"] == key_bytes(wallet)
    one = call("getTokenAccountsByOwner", wallet, {"mint": USDC_MINT}, BASE64)["value"]
    amount = TOKEN_ACCOUNT.unpack(raw(one[0]["account"]))["amount"]
    assert call("getTokenAccountBalance", one[0]["pubkey"])["value"]["amount"] == str(amount)
    assert call("getTokenSupply", USDC_MINT)["value"]["decimals"] == 6
    assert (
        call("getTokenAccountsByOwner", wallet, {"programId": programs.TOKEN_2022}, BASE64)["value"]
        == []
    )


def test_min_context_slot(call: Any) -> None:
    slot = call("getSlot")
    assert call("getAccountInfo", USDC_MINT, {**BASE64, "minContextSlot": slot})["value"]
    code, data = code_of(
        call, "getAccountInfo", USDC_MINT, {**BASE64, "minContextSlot": slot + 1000}
    )
    assert code == -32016
    assert slot <= data["contextSlot"] < slot + 1000


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("getAccountInfo", []),
        ("getAccountInfo", ["not a key", BASE64]),
        ("getAccountInfo", [7]),
        ("getMultipleAccounts", ["x"]),
        ("getProgramAccounts", [USDC_MINT, {"filters": [{"colour": 1}], **BASE64}]),
        ("getAccountInfo", [USDC_MINT, {**BASE64, "dataSlice": {"offset": -1, "length": 2}}]),
        ("getSignaturesForAddress", [USDC_MINT, {"limit": 1001}]),
        ("getBlockTime", ["yesterday"]),
        ("sendTransaction", ["###", BASE64]),
        ("getTransaction", [str(Signature.default()), []]),
    ],
)
def test_wrong_parameters_are_named(call: Any, method: str, params: list[Any]) -> None:
    code, _ = code_of(call, method, *params)
    assert code == -32602


def test_unknown_methods_and_malformed_requests(call: Any, localnet: Launched) -> None:
    assert code_of(call, "getLeaderSchedule")[0] == -32601
    reply = httpx.post(localnet.rpc_url, content=b'{"jsonrpc": "2.0", "id": 1').json()
    assert reply["error"]["code"] == -32700
    assert reply["id"] is None
    assert httpx.post(localnet.rpc_url, json=5).json()["error"]["code"] == -32600


def test_batches_answer_each_call(localnet: Launched) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": "a", "method": "getSlot"},
        {"jsonrpc": "2.0", "id": "b", "method": "nothing"},
        {"jsonrpc": "2.0", "id": "c", "method": "getBalance", "params": [USDC_MINT]},
    ]
    replies = {one["id"]: one for one in httpx.post(localnet.rpc_url, json=calls).json()}
    assert replies["a"]["result"] > 0
    assert replies["b"]["error"]["code"] == -32601
    assert replies["c"]["result"]["value"] > 0


def test_blocks_and_their_gaps(call: Any, http: httpx.Client) -> None:
    http.post("/advance", json={"slots": 310})
    slot = call("getSlot")
    blocks = call("getBlocks", slot - 300, slot)
    missing = sorted(set(range(slot - 300, slot + 1)) - set(blocks))
    assert 2 <= len(missing) <= 4
    assert code_of(call, "getBlock", missing[0])[0] == -32007
    assert code_of(call, "getBlock", slot + 500)[0] == -32004
    assert code_of(call, "getBlock", 5)[0] == -32001
    assert call("getBlocksWithLimit", slot - 300, 10) == blocks[:10]
    times = [call("getBlockTime", one) for one in blocks[::60]]
    assert times == sorted(times)
    assert 90 <= times[-1] - times[0] <= 110


def test_a_block_holds_the_transactions_of_its_slot(call: Any, universe: dict[str, Any]) -> None:
    pool = accounts_of(universe, "pool")[0]
    row = call("getSignaturesForAddress", pool, {"limit": 1})[0]
    config = {"encoding": "json", "maxSupportedTransactionVersion": 0}
    block = call("getBlock", row["slot"], config)
    found = [t["transaction"]["signatures"][0] for t in block["transactions"]]
    assert row["signature"] in found
    assert block["parentSlot"] < row["slot"]
    slim = call("getBlock", row["slot"], {**config, "transactionDetails": "signatures"})
    assert slim["signatures"] == found


def test_transfers_run_for_real_and_are_recorded(call: Any, localnet: Launched) -> None:
    payer, target = Keypair(), Keypair()
    airdrop = call("requestAirdrop", str(payer.pubkey()), 2_000_000_000)
    assert call("getSignatureStatuses", [airdrop])["value"][0]["err"] is None
    before = call("getSlot")

    def signed(lamports: int, blockhash: Any) -> VersionedTransaction:
        instruction = transfer(
            TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target.pubkey(), lamports=lamports)
        )
        message = Message.new_with_blockhash([instruction], payer.pubkey(), blockhash)
        return VersionedTransaction(message, [payer])

    async def run() -> Any:
        # The typed client must be able to do this too.
        async with AsyncClient(localnet.rpc_url) as client:
            blockhash = (await client.get_latest_blockhash()).value.blockhash
            dry = await client.simulate_transaction(signed(10**9, blockhash))
            assert dry.value.err is None
            sent = await client.send_transaction(signed(10**9, blockhash))
            held = await client.get_balance(target.pubkey())
            shown = await client.get_transaction(
                sent.value, encoding="json", max_supported_transaction_version=0
            )
            return sent.value, held.value, shown.value

    signature, held, shown = asyncio.run(run())
    assert held == 10**9
    assert call("getSlot") > before
    assert shown.transaction.meta.fee == 5000
    rows = call("getSignaturesForAddress", str(target.pubkey()))
    assert [row["signature"] for row in rows] == [str(signature)]
    blockhash = call("getLatestBlockhash")["value"]["blockhash"]
    from solders.hash import Hash

    broke = base64.b64encode(bytes(signed(9 * 10**9, Hash.from_string(blockhash)))).decode()
    code, data = code_of(call, "sendTransaction", broke, BASE64)
    assert code == -32002
    assert data["err"] == {"InstructionError": [0, {"Custom": 1}]}
    failed = call("sendTransaction", broke, {**BASE64, "skipPreflight": True})
    status = call("getSignatureStatuses", [failed])["value"][0]
    assert status["err"] == {"InstructionError": [0, {"Custom": 1}]}


def test_solana_py_typed_accounts(localnet: Launched) -> None:
    async def run() -> Any:
        async with AsyncClient(localnet.rpc_url) as client:
            one = await client.get_account_info(Pubkey.from_string(USDC_MINT))
            slot = await client.get_slot()
            return one.value, slot.value

    account, slot = asyncio.run(run())
    assert len(account.data) == 82
    assert slot > 0


_NONSENSE = (None, True, -1, 2**70, 0.5, "", "x", "é", [], [[]], {}, {"limit": -5})


def test_no_parameters_break_the_chain(localnet: Launched) -> None:
    """Every method with every kind of nonsense gets a JSON-RPC answer."""
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        for method in METHODS
        for one in _NONSENSE
        for params in ([one], [SOL_MINT, one], ["1" * 88, {"before": one, "encoding": one}])
        # Some would only move the chain that other tests look at.
        if method not in ("requestAirdrop", "getBlocksWithLimit")
    ]
    with httpx.Client(base_url=localnet.rpc_url, timeout=60) as client:
        for call in calls:
            answer = client.post("/", json=call)
            assert answer.status_code == 200, call
            assert ("result" in answer.json()) != ("error" in answer.json()), call
        for body in (b"", b"null", b"[]", b"[1]", b"7", b'"x"', b"\xff", b"[" * 3000):
            answer = client.post("/", content=body)
            assert answer.status_code == 200, body
            found = answer.json()
            assert all("error" in one for one in (found if isinstance(found, list) else [found]))


def test_control_requests_are_validated(localnet: Launched) -> None:
    with httpx.Client(base_url=localnet.rpc_url) as client:
        assert client.post("/advance", json={"minutes": 3}).status_code == 422
        assert client.post("/advance", json={"seconds": -1}).status_code == 422
        assert client.post("/advance", content=b"{").status_code == 422
        assert client.post("/advance", content=b'{"seconds": NaN}').status_code == 422
        assert client.get("/nowhere").status_code == 404
        assert client.delete("/universe.json").status_code == 404
        slot = client.get("/clock").json()["slot"]
        assert client.post("/advance", json={"slots": 5}).json()["slot"] == slot + 5
