"""The plain peer: FastAPI with SQLAlchemy's ORM, written the way tutorials write it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, create_engine, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
)

from portfolio_platform.api import local_keys

app = FastAPI()
engine = create_engine(os.environ.get("BENCH_DATABASE_URL", "postgresql+psycopg://"), pool_size=10)
keys = {
    key["kid"]: jwt.PyJWK(key).key
    for key in json.loads(os.environ.get("BENCH_JWKS", '{"keys": []}'))["keys"]
}


class Base(DeclarativeBase):
    """Tables as mapped classes."""

    type_annotation_map = {dict[str, Any]: JSONB}  # noqa: RUF012 - SQLAlchemy's own convention


class Strategy(Base):
    """strategies"""

    __tablename__ = "strategies"
    strategy_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]


class Version(Base):
    """versions"""

    __tablename__ = "versions"
    version: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    content_hash: Mapped[str]
    as_of: Mapped[datetime]
    recorded_at: Mapped[datetime]


class Token(Base):
    """tokens"""

    __tablename__ = "tokens"
    mint: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str]


class Weight(Base):
    """weights"""

    __tablename__ = "weights"
    version: Mapped[uuid.UUID] = mapped_column(ForeignKey("weight_sets.version"), primary_key=True)
    mint: Mapped[str] = mapped_column(ForeignKey("tokens.mint"), primary_key=True)
    weight: Mapped[float]
    token: Mapped[Token] = relationship()


class WeightSet(Base):
    """weight_sets"""

    __tablename__ = "weight_sets"
    version: Mapped[uuid.UUID] = mapped_column(ForeignKey("versions.version"), primary_key=True)
    strategy_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("strategies.strategy_id"))
    status: Mapped[str]
    reason: Mapped[str | None]
    solution: Mapped[dict[str, Any]]
    header: Mapped[Version] = relationship()
    strategy: Mapped[Strategy] = relationship()
    weights: Mapped[list[Weight]] = relationship()


class WeightOut(BaseModel):
    """One weight."""

    model_config = ConfigDict(from_attributes=True)
    mint: str
    symbol: str
    weight: float


class WeightsOut(BaseModel):
    """The answer."""

    version: uuid.UUID
    strategy: str
    status: str
    solution: dict[str, Any]
    weights: list[WeightOut]
    data_as_of: datetime
    computed_at: datetime
    content_hash: str


def claims(authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Verified claims of the bearer token."""
    token = authorization.removeprefix("Bearer ")
    try:
        key = keys[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(
            token, key, algorithms=["ES256"], audience="authenticated", issuer=local_keys.ISSUER
        )
    except (jwt.PyJWTError, KeyError) as error:
        raise HTTPException(401) from error


def session(who: Annotated[dict[str, Any], Depends(claims)]) -> Iterator[Session]:
    """A session under the caller's role and claims."""
    with Session(engine) as opened:
        opened.execute(text("set local role authenticated"))
        opened.execute(
            text("select set_config('request.jwt.claims', :claims, true)"),
            {"claims": json.dumps(who)},
        )
        yield opened


@app.get("/livez")
def live() -> dict[str, str]:
    """Alive."""
    return {"status": "live"}


@app.get("/weights/latest")
def latest(strategy: str, db: Annotated[Session, Depends(session)]) -> WeightsOut:
    """The newest good weights of a strategy."""
    found = db.scalars(
        select(WeightSet)
        .join(WeightSet.header)
        .join(WeightSet.strategy)
        .where(
            Version.kind == "weights",
            Version.subject == strategy,
            Strategy.slug == strategy,
            WeightSet.status == "optimal",
        )
        .order_by(Version.recorded_at.desc())
        .limit(1)
        .options(selectinload(WeightSet.weights).selectinload(Weight.token))
    ).first()
    if found is None:
        raise HTTPException(404)
    return WeightsOut(
        version=found.version,
        strategy=found.strategy.slug,
        status=found.status,
        solution=found.solution,
        weights=[
            WeightOut(mint=w.mint, symbol=w.token.symbol, weight=w.weight) for w in found.weights
        ],
        data_as_of=found.header.as_of,
        computed_at=found.header.recorded_at,
        content_hash=found.header.content_hash,
    )
