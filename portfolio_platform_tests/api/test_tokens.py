"""Bearer tokens: what is believed, what is refused, and what an outage changes."""

from __future__ import annotations

import asyncio
import base64
import http.server
import json
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from portfolio_platform.api import ApiSettings, local_keys
from portfolio_platform.api.auth import TokenVerifier
from portfolio_platform.api.keys import KeySet, pinned_algorithm
from portfolio_platform.api.problems import Problem
from portfolio_platform_tests.api.seed import World
from portfolio_platform_tests.api.server import Served

SUB = "7a0f9a0e-6f3a-4f7e-9a3e-0d5b2f1c9e11"
ISSUER = "https://project.supabase.co/auth/v1"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
SECRET = "legacy-secret-of-at-least-thirty-two-bytes"


def ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "ES256"}


def rsa_jwk(kid: str) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": kid, "alg": "RS256"}


def oct_jwk(kid: str) -> dict[str, Any]:
    k = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
    return {"kty": "oct", "k": k, "kid": kid, "alg": "HS256"}


JWKS = {"keys": [ec_jwk(EC_KEY, "ec"), rsa_jwk("rsa"), oct_jwk("oct")]}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    base = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": SUB,
        "role": "authenticated",
        "exp": now + 600,
        "iat": now,
    }
    return {name: value for name, value in (base | changes).items() if value is not None}


def signed(
    payload: dict[str, Any], *, key: Any = EC_KEY, algorithm: str = "ES256", kid: str | None = "ec"
) -> str:
    headers = {"kid": kid} if kid else {}
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)


def verifier(source: Any = JWKS, **changes: Any) -> TokenVerifier:
    settings = ApiSettings(
        database_url="postgresql://unused", jwks=source, issuer=ISSUER, **changes
    )
    legacy = settings.allow_hs256_secret
    keys = KeySet(
        settings.jwks,
        cooldown=settings.jwks_refetch_cooldown,
        max_age=settings.jwks_max_age,
        outage_age=settings.jwks_outage_age,
        legacy_secret=legacy.get_secret_value() if legacy else None,
    )
    return TokenVerifier(settings, keys)


def verdict(token: str, of: TokenVerifier | None = None) -> str:
    """`ok:<role>`, or the code of the problem."""
    try:
        verified = asyncio.run((of or verifier()).verify(token))
    except Problem as problem:
        return problem.kind.code
    return f"ok:{verified.caller.role}"


def forged(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def hs256_with_public_key() -> str:
    pem = EC_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    import hashlib
    import hmac

    unsigned = forged({"alg": "HS256", "kid": "ec", "typ": "JWT"}, claims()).rsplit(".", 1)[0]
    mac = hmac.new(pem, unsigned.encode(), hashlib.sha256).digest()
    return unsigned + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def test_tokens_of_both_key_families_are_believed() -> None:
    assert verdict(signed(claims())) == "ok:authenticated"
    assert verdict(signed(claims(role="anon"))) == "ok:anon"
    assert verdict(signed(claims(), key=RSA_KEY, algorithm="RS256", kid="rsa")) == (
        "ok:authenticated"
    )


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: forged({"alg": "none", "kid": "ec"}, claims()), "token-invalid"),
        (lambda: forged({"alg": "none"}, claims()), "token-invalid"),
        (lambda: hs256_with_public_key(), "token-invalid"),
        (lambda: signed(claims(), key=OTHER_EC_KEY), "token-invalid"),
        (lambda: signed(claims(), key=RSA_KEY, algorithm="RS256", kid="ec"), "token-invalid"),
        (lambda: signed(claims(), key=RSA_KEY, algorithm="RS512", kid="rsa"), "token-invalid"),
        (lambda: signed(claims(), key=SECRET, algorithm="HS256", kid="oct"), "token-invalid"),
        (lambda: signed(claims(), key=SECRET, algorithm="HS256", kid=None), "token-invalid"),
        (lambda: signed(claims(), kid=None), "token-invalid"),
        (lambda: signed(claims(), kid="unknown"), "token-invalid"),
        (lambda: signed(claims(iss="https://other.supabase.co/auth/v1")), "token-invalid"),
        (lambda: signed(claims(iss=None)), "token-invalid"),
        (lambda: signed(claims(aud="anon")), "token-invalid"),
        (lambda: signed(claims(aud=None)), "token-invalid"),
        (lambda: signed(claims(exp=None)), "token-invalid"),
        (lambda: signed(claims(exp=int(time.time()) - 31)), "token-expired"),
        (lambda: signed(claims(nbf=int(time.time()) + 120)), "token-invalid"),
        (lambda: signed(claims(iat=int(time.time()) + 120)), "token-invalid"),
        (lambda: signed(claims(sub=None)), "token-invalid"),
        (lambda: signed(claims(sub="not-a-uuid")), "token-invalid"),
        (lambda: signed(claims(role="service_role")), "role-refused"),
        (lambda: signed(claims(role="postgres")), "role-refused"),
        (lambda: signed(claims(role=None)), "role-refused"),
        (lambda: signed(claims())[:-4], "token-invalid"),
        (lambda: signed(claims()) + "A" * 9000, "token-invalid"),
        (lambda: signed(claims(pad="x" * 9000)), "token-invalid"),
        (lambda: "sb_secret_abcdefghijklmnop", "token-invalid"),
        (lambda: "sb_publishable_abcdefghijklmnop", "token-invalid"),
        (lambda: "not.a.token", "token-invalid"),
        (lambda: "x", "token-invalid"),
    ],
)
def test_every_other_token_is_refused(make: Callable[[], str], code: str) -> None:
    assert verdict(make()) == code


def test_skew_of_thirty_seconds_is_forgiven() -> None:
    assert verdict(signed(claims(exp=int(time.time()) - 20))) == "ok:authenticated"
    assert verdict(signed(claims(nbf=int(time.time()) + 20))) == "ok:authenticated"


def test_hs256_is_believed_only_where_a_setting_names_the_secret() -> None:
    legacy = verifier(allow_hs256_secret=SECRET)
    assert verdict(signed(claims(), key=SECRET, algorithm="HS256", kid=None), legacy) == (
        "ok:authenticated"
    )
    both = verifier(allow_hs256_secret=SECRET)
    assert verdict(signed(claims(), key=SECRET, algorithm="HS256", kid="oct"), both) == (
        "ok:authenticated"
    )
    assert verdict(signed(claims()), verifier(allow_hs256_secret=SECRET)) == "ok:authenticated"
    # With the secret admitted, a token may still not choose it for an asymmetric key.
    for attack in (
        hs256_with_public_key(),
        signed(claims(), key=SECRET, algorithm="HS256", kid="ec"),
        forged({"alg": "none"}, claims()),
    ):
        assert verdict(attack, verifier(allow_hs256_secret=SECRET)) == "token-invalid"


def test_keys_for_encryption_or_with_a_false_algorithm_never_verify() -> None:
    assert pinned_algorithm(ec_jwk(EC_KEY, "k") | {"use": "enc"}, symmetric=True) is None
    assert pinned_algorithm(ec_jwk(EC_KEY, "k") | {"alg": "HS256"}, symmetric=True) is None
    assert pinned_algorithm(rsa_jwk("k") | {"alg": "HS256"}, symmetric=True) is None
    assert pinned_algorithm(oct_jwk("k") | {"alg": "ES256"}, symmetric=True) is None
    assert pinned_algorithm(oct_jwk("k"), symmetric=False) is None


def test_a_remembered_token_still_expires() -> None:
    of = verifier()
    token = signed(claims(exp=int(time.time()) - 28))

    async def twice() -> str:
        await of.verify(token)
        await asyncio.sleep(2.5)
        try:
            await of.verify(token)
        except Problem as problem:
            return problem.kind.code
        return "ok"

    assert asyncio.run(twice()) == "token-expired"


class Authority:
    """A JWKS endpoint that can rotate, break and count."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"keys": [ec_jwk(EC_KEY, "ec")]}
        self.broken = False
        self.requests = 0
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                authority.requests += 1
                body = json.dumps(authority.document).encode()
                self.send_response(500 if authority.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def _code(of: TokenVerifier, token: str) -> str:
    try:
        return f"ok:{(await of.verify(token)).caller.role}"
    except Problem as problem:
        return problem.kind.code


async def _until(fetched: Callable[[], bool]) -> None:
    """Keys are fetched in the background."""
    async with asyncio.timeout(20):
        while not fetched():
            await asyncio.sleep(0.01)


def test_a_storm_of_unknown_kids_causes_one_fetch_per_cooldown(authority: Authority) -> None:
    async def storm() -> list[str]:
        of = verifier(authority.url, jwks_refetch_cooldown=60)
        tokens = [signed(claims(), kid=f"kid-{n}") for n in range(200)]
        return await asyncio.gather(*(_code(of, token) for token in tokens))

    assert set(asyncio.run(storm())) == {"token-invalid"}
    assert authority.requests == 1


def test_rotation_is_followed_and_both_keys_live(authority: Authority) -> None:
    async def rotate() -> list[str]:
        of = verifier(authority.url, jwks_refetch_cooldown=0)
        seen = [await _code(of, signed(claims()))]
        new = signed(claims(), key=OTHER_EC_KEY, kid="new")
        authority.document = {"keys": [ec_jwk(EC_KEY, "ec"), ec_jwk(OTHER_EC_KEY, "new")]}
        seen.append(await _code(of, new))
        seen.append(await _code(of, signed(claims())))
        authority.document = {"keys": [ec_jwk(OTHER_EC_KEY, "new")]}
        await _code(of, signed(claims(), kid="another"))
        seen.append(await _code(of, signed(claims(n=1))))
        seen.append(await _code(of, new))
        return seen

    assert asyncio.run(rotate()) == [
        "ok:authenticated",
        "ok:authenticated",
        "ok:authenticated",
        "token-invalid",
        "ok:authenticated",
    ]


def test_a_withdrawn_key_ends_remembered_tokens(authority: Authority) -> None:
    async def withdraw() -> list[str]:
        of = verifier(authority.url, jwks_refetch_cooldown=0)
        token = signed(claims())
        seen = [await _code(of, token), await _code(of, token)]
        authority.document = {"keys": [ec_jwk(OTHER_EC_KEY, "new")]}
        await _code(of, signed(claims(), kid="another"))
        return [*seen, await _code(of, token)]

    assert asyncio.run(withdraw()) == ["ok:authenticated", "ok:authenticated", "token-invalid"]


def test_cached_keys_outlive_an_outage_but_not_for_ever(authority: Authority) -> None:
    now = 1000.0

    async def outage() -> list[str]:
        nonlocal now
        settings = ApiSettings(
            database_url="postgresql://unused", jwks=authority.url, issuer=ISSUER
        )
        keys = KeySet(authority.url, cooldown=1, max_age=10, outage_age=100, clock=lambda: now)
        of = TokenVerifier(settings, keys)
        seen = [await _code(of, signed(claims()))]
        authority.broken = True
        now += 50
        seen.append(await _code(of, signed(claims(n=1))))
        await _until(lambda: keys.failures == 1)
        seen.append(await _code(of, signed(claims(n=2))))
        now += 60
        seen.append(await _code(of, signed(claims(n=3))))
        authority.broken = False
        now += 2
        await _code(of, signed(claims(n=4)))
        await _until(lambda: keys.age_seconds == 0)
        seen.append(await _code(of, signed(claims(n=5))))
        return seen

    assert asyncio.run(outage()) == [
        "ok:authenticated",
        "ok:authenticated",
        "ok:authenticated",
        "keys-unavailable",
        "ok:authenticated",
    ]


def test_an_authority_never_reached_is_said_to_be_unavailable() -> None:
    assert verdict(signed(claims()), verifier("http://127.0.0.1:9/jwks.json")) == "keys-unavailable"


def test_refusals_are_problems_with_a_challenge_and_a_remedy(served: Served, world: World) -> None:
    old = served.token(world.a.user_id, expires_in=-60)
    with served.client() as client:
        nobody = client.get("/v1/tokens")
        expired = client.get("/v1/tokens", headers={"Authorization": f"Bearer {old}"})
        service = client.get(
            "/v1/tokens",
            headers={"Authorization": f"Bearer {served.token(SUB, 'service_role')}"},
        )
    assert (nobody.status_code, nobody.json()["code"]) == (401, "token-required")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert (expired.status_code, expired.json()["code"]) == (401, "token-expired")
    assert "portfolio-platform token" in expired.json()["remedy"]
    assert (service.status_code, service.json()["code"]) == (403, "role-refused")
    for answer in (nobody, expired, service):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["trace_id"] == answer.headers["x-trace-id"]


def test_the_database_refuses_what_anon_was_not_granted(served: Served) -> None:
    with served.client() as client:
        headers = {"Authorization": f"Bearer {served.token(SUB, 'anon')}"}
        answer = client.get("/v1/tokens", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_the_local_key_is_private_and_stays_the_same(tmp_path: Path) -> None:
    token = local_keys.issue_token(tmp_path, SUB, expires_in=60)
    key_file = tmp_path / "token-key.pem"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    of = verifier(local_keys.jwks_path(tmp_path))
    of._settings = of._settings.model_copy(update={"issuer": local_keys.ISSUER})
    assert verdict(token, of) == "ok:authenticated"
    assert local_keys.jwks(tmp_path) == json.loads(local_keys.jwks_path(tmp_path).read_text())
    key_file.chmod(0o644)
    with pytest.raises(local_keys.LocalKeyError, match="chmod 600"):
        local_keys.issue_token(tmp_path, SUB)
    with pytest.raises(ValueError):
        local_keys.issue_token(tmp_path / "other", "nobody")


def test_two_starters_agree_on_one_local_key(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(local_keys.jwks(tmp_path)["keys"][0]["kid"]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


def test_nothing_of_a_token_reaches_the_access_log(
    served: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    token = served.token(world.a.user_id)
    with caplog.at_level("DEBUG", "portfolio_platform"):
        httpx.get(f"{served.url}/v1/tokens", headers={"Authorization": f"Bearer {token}"})
        httpx.get(f"{served.url}/v1/tokens", headers={"Authorization": "Bearer broken.token"})
    assert '"route":"/v1/tokens"' in caplog.text
    assert token not in caplog.text
    assert "broken.token" not in caplog.text
    assert uuid.UUID(json.loads(caplog.messages[0])["subject"]) == world.a.user_id
